import type { AddressInfo } from 'node:net'
import { createServer, type Server, type Socket } from 'node:net'

/** What happens to a request instead of what it asked for. */
export type NetworkFault =
  /** An answer of the proxy's own; the server never hears of the request. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** The connection breaks before an answer; the server never hears of the request. */
  | { readonly kind: 'reset' }
  /** No answer, for ever. */
  | { readonly kind: 'stall' }
  /** The server does its work, then the connection breaks: nobody knows. */
  | { readonly kind: 'lost answer' }
  /** Head and so many bytes of the body, then the connection breaks, or nothing comes any more. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly end: 'reset' | 'stall' }
  /** The first byte comes late. */
  | { readonly kind: 'slow'; readonly delayMs: number }

export interface FaultRule {
  /** By method and path with query. */
  readonly on: (method: string, path: string) => boolean
  readonly fault: NetworkFault
  /** Default 1. */
  readonly times?: number
}

export interface FaultProxy {
  readonly url: string
  readonly port: number
  /** Every request, `METHOD /path`, those that met a fault with its kind behind it. */
  readonly log: string[]
  /** Adds a rule; the first one that fits is used. */
  add(rule: FaultRule): void
  /** Fails when one of the rules never struck. */
  verifyAllStruck(): void
  /** Forgets the rules and the log. */
  reset(): void
  close(): Promise<void>
}

interface Rule extends FaultRule {
  left: number
  struck: number
}

interface Request {
  readonly method: string
  readonly path: string
  readonly headers: Headers
  readonly body: Uint8Array<ArrayBuffer>
}

/** An HTTP proxy on 127.0.0.1 before the server at `upstream`, that misbehaves on request. */
export async function startFaultProxy(upstream: string): Promise<FaultProxy> {
  const rules: Rule[] = []
  const log: string[] = []
  const sockets = new Set<Socket>()
  const server: Server = createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    void serve(socket, upstream, rules, log)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    log,
    add: rule => void rules.push({ ...rule, left: rule.times ?? 1, struck: 0 }),
    verifyAllStruck() {
      const idle = rules.filter(rule => rule.struck === 0).map(rule => rule.fault.kind)
      if (idle.length > 0) throw new Error(`these faults never struck: ${idle.join(', ')}`)
    },
    reset() {
      rules.length = 0
      log.length = 0
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function serve(socket: Socket, upstream: string, rules: Rule[], log: string[]): Promise<void> {
  for await (const request of requestsOf(socket)) {
    const rule = rules.find(each => each.left > 0 && each.on(request.method, request.path))
    log.push(`${request.method} ${request.path}${rule === undefined ? '' : ` (${rule.fault.kind})`}`)
    if (rule !== undefined) {
      rule.left--
      rule.struck++
    }
    await answer(socket, request, upstream, rule?.fault)
  }
}

async function answer(
  socket: Socket,
  request: Request,
  upstream: string,
  fault: NetworkFault | undefined,
): Promise<void> {
  switch (fault?.kind) {
    case 'answer': {
      const body = Buffer.from(fault.body ?? '')
      const headers = { 'content-length': String(body.length), ...fault.headers }
      socket.write(headOf(fault.status, Object.entries(headers)))
      socket.write(body)
      return
    }
    case 'reset':
      socket.destroy()
      return
    case 'stall':
      return
    case 'slow':
      await Bun.sleep(fault.delayMs)
  }
  const response = await fetch(upstream + request.path, {
    method: request.method,
    headers: request.headers,
    redirect: 'manual',
    ...(request.body.length === 0 && request.method !== 'PUT' && request.method !== 'POST'
      ? {}
      : { body: request.body }),
  })
  const body = new Uint8Array(await response.arrayBuffer())
  if (fault?.kind === 'lost answer') {
    socket.destroy()
    return
  }
  const length =
    request.method === 'HEAD' ? (response.headers.get('content-length') ?? '0') : String(body.length)
  const kept = [...response.headers].filter(
    ([name]) => !/^(content-length|transfer-encoding|connection|content-encoding)$/.test(name),
  )
  socket.write(headOf(response.status, [...kept, ['content-length', length]]))
  if (fault?.kind !== 'cut') {
    socket.write(body)
    return
  }
  const isSent = Promise.withResolvers<void>()
  socket.write(body.subarray(0, fault.afterBytes), () => isSent.resolve())
  await isSent.promise
  if (fault.end === 'reset') setTimeout(() => socket.destroy(), 20)
}

function headOf(status: number, headers: Iterable<readonly [string, string]>): string {
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} X\r\n${lines.join('')}\r\n`
}

async function* requestsOf(socket: Socket): AsyncGenerator<Request> {
  let pending: Buffer = Buffer.alloc(0)
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const more = async (): Promise<boolean> => {
    const next = await chunks.next().catch(() => ({ done: true as const, value: undefined }))
    if (next.done === true) return false
    pending = Buffer.concat([pending, next.value])
    return true
  }
  for (;;) {
    let end = pending.indexOf('\r\n\r\n')
    while (end === -1) {
      if (!(await more())) return
      end = pending.indexOf('\r\n\r\n')
    }
    const [first = '', ...lines] = pending.toString('latin1', 0, end).split('\r\n')
    const [method = '', path = ''] = first.split(' ')
    const headers = new Headers(lines.map(line => line.split(/: ?(.*)/s, 2) as [string, string]))
    const length = Number(headers.get('content-length') ?? 0)
    const parts: Buffer[] = [pending.subarray(end + 4)]
    let size = parts[0]!.length
    while (size < length) {
      const next = await chunks.next().catch(() => ({ done: true as const, value: undefined }))
      if (next.done === true) return
      parts.push(next.value)
      size += next.value.length
    }
    const all = Buffer.concat(parts)
    pending = Buffer.from(all.subarray(length))
    yield { method, path, headers, body: new Uint8Array(all.subarray(0, length)) }
  }
}
