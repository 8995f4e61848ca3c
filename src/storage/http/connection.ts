import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { concatBytes } from '../../kit/bytes.ts'
import { HttpFault } from './fault.ts'

/** Where to connect to. */
export interface HttpTarget {
  readonly host: string
  readonly port: number
  readonly tls?: {
    /** The name that the certificate must have; default: `host`. */
    readonly serverName?: string
    /** Certificate authorities, PEM; default: those of the runtime. */
    readonly ca?: string
  }
}

export interface ConnectionTimes {
  /** Until the connection stands, TLS included. */
  readonly connectTimeoutMs: number
  /** The longest wait for the peer to take or send a byte. */
  readonly stallTimeoutMs: number
}

/** What arrived and nobody has taken yet stays below this: the peer is stopped then. */
const ARRIVED_BYTES_MAX = 1 << 20
/** One write to the socket: what it does not take at once waits for it, not in a buffer of its own. */
const WRITE_BYTES_MAX = 1 << 18

/**
 * One byte stream to a server, in both directions, with back-pressure and without buffers of its own: bytes go from the
 * caller's memory straight to the kernel. Every wait is bounded and can be aborted. Failures are `HttpFault`s.
 */
export class Connection {
  readonly #times: ConnectionTimes
  readonly #arrived: Uint8Array[] = []
  #arrivedBytes = 0
  #isPaused = false
  #isAtEnd = false
  #fault: HttpFault | undefined
  #socket: Socket | undefined
  #wake: (() => void) | undefined
  #onClose: (() => void) | undefined

  private constructor(times: ConnectionTimes) {
    this.#times = times
  }

  static async open(
    target: HttpTarget,
    times: ConnectionTimes,
    signal: AbortSignal | undefined,
  ): Promise<Connection> {
    const connection = new Connection(times)
    await connection.#connect(target, signal)
    return connection
  }

  /** Nothing has gone wrong, nothing is unread: it may carry another request. */
  get isFit(): boolean {
    return this.#fault === undefined && !this.#isAtEnd && this.#arrivedBytes === 0
  }

  /** True when bytes have arrived that nobody has taken. */
  get hasArrived(): boolean {
    return this.#arrivedBytes > 0 || this.#isAtEnd || this.#fault !== undefined
  }

  /** Called once when the peer or a fault ends it. */
  onClose(listener: (() => void) | undefined): void {
    this.#onClose = listener
  }

  /** Whether the connection alone keeps the process alive. */
  setNeeded(isNeeded: boolean): void {
    if (isNeeded) this.#socket?.ref()
    else this.#socket?.unref()
  }

  /** Sends all of `bytes`; stops early, returning false, as soon as the peer answers. */
  async write(bytes: Uint8Array, signal: AbortSignal | undefined, onSent?: () => void): Promise<boolean> {
    for (let at = 0; at < bytes.length; at += WRITE_BYTES_MAX) {
      if (this.#arrivedBytes > 0 || this.#isAtEnd) return false
      if (this.#fault !== undefined) throw this.#fault
      const isTaken = this.#socket!.write(bytes.subarray(at, at + WRITE_BYTES_MAX))
      while (!isTaken && this.#socket!.writableNeedDrain && !this.hasArrived) await this.#wait('send', signal)
      onSent?.()
    }
    return true
  }

  /** The next bytes that arrived, at most `bytesMax`; undefined at the peer's end of the stream. */
  async read(bytesMax: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    while (this.#arrivedBytes === 0) {
      if (this.#fault !== undefined) throw this.#fault
      if (this.#isAtEnd) return undefined
      await this.#wait('receive', signal)
    }
    const first = this.#arrived[0]!
    const taken = first.subarray(0, bytesMax)
    if (taken.length === first.length) this.#arrived.shift()
    else this.#arrived[0] = first.subarray(taken.length)
    this.#arrivedBytes -= taken.length
    if (this.#isPaused && this.#arrivedBytes < ARRIVED_BYTES_MAX / 2) {
      this.#isPaused = false
      this.#socket?.resume()
    }
    return taken
  }

  /** Puts bytes back that were read too far. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#arrived.unshift(bytes)
    this.#arrivedBytes += bytes.length
  }

  /** Ends it at once; idempotent. */
  close(): void {
    this.#fail(new HttpFault('closed', 'the connection was closed by this side'))
  }

  async #connect(target: HttpTarget, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => {})
    const giveUp = (fault: HttpFault): void => {
      reject(fault)
      this.#fail(fault)
    }
    const timer = setTimeout(
      () => giveUp(new HttpFault('stalled', `no connection after ${this.#times.connectTimeoutMs / 1000} s`)),
      this.#times.connectTimeoutMs,
    )
    const onAbort = (): void => giveUp(new HttpFault('aborted', 'aborted while connecting'))
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const socket = await openSocket(target)
      this.#socket = socket
      if (this.#fault !== undefined) socket.destroy()
      this.#listen(socket, giveUp)
      socket.once(target.tls === undefined ? 'connect' : 'secureConnect', resolve)
      await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #listen(socket: Socket, onRefused: (fault: HttpFault) => void): void {
    let isConnected = false
    socket.setNoDelay(true)
    socket.once('connect', () => {
      isConnected = true
    })
    socket.on('data', (chunk: Buffer) => {
      this.#arrived.push(chunk)
      this.#arrivedBytes += chunk.length
      if (this.#arrivedBytes >= ARRIVED_BYTES_MAX && !this.#isPaused) {
        this.#isPaused = true
        socket.pause()
      }
      this.#notify()
    })
    socket.on('drain', () => this.#notify())
    socket.on('end', () => this.#finish())
    socket.on('error', error => {
      const fault = isConnected ? HttpFault.ofTransfer(error) : HttpFault.ofConnecting(error)
      onRefused(fault)
      this.#fail(fault)
    })
    socket.on('close', () => {
      onRefused(new HttpFault('reset', 'the connection was closed by the peer'))
      this.#finish()
    })
  }

  /** The peer sends nothing more. */
  #finish(): void {
    this.#isAtEnd = true
    this.#notify()
    this.#onClose?.()
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  #fail(fault: HttpFault): void {
    if (this.#fault !== undefined) return
    // Bytes that arrived before the end are still there to be read, and a clean end is not a fault by itself.
    if (!this.#isAtEnd || fault.kind !== 'reset') {
      this.#fault = fault
      this.#socket?.destroy()
    }
    this.#notify()
  }

  /** Until something happens at the socket; a fault of its own when that takes too long. */
  async #wait(direction: 'send' | 'receive', signal: AbortSignal | undefined): Promise<void> {
    const { stallTimeoutMs } = this.#times
    let timer: ReturnType<typeof setTimeout> | undefined
    const onAbort = (): void => this.#fail(new HttpFault('aborted', 'aborted'))
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    const waited = new Promise<void>(resolve => {
      this.#wake = resolve
    })
    if (this.#fault !== undefined) this.#notify()
    if (stallTimeoutMs > 0) {
      const what = direction === 'send' ? 'took' : 'sent'
      const fault = (): HttpFault =>
        new HttpFault('stalled', `the server ${what} no byte for ${stallTimeoutMs / 1000} s`)
      timer = setTimeout(() => this.#fail(fault()), stallTimeoutMs)
    }
    try {
      await waited
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

/** The modules are loaded when they are needed: a repository in a directory needs neither. */
async function openSocket({ host, port, tls }: HttpTarget): Promise<Socket> {
  if (tls === undefined) return connectTcp({ host, port })
  const { connect } = await import('node:tls')
  const name = tls.serverName ?? host
  return connect({
    host,
    port,
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
  })
}

/** Reads up to and with the first `\r\n\r\n`; undefined when the stream ends before its first byte. */
export async function readHead(
  connection: Connection,
  bytesMax: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  let head: Uint8Array = new Uint8Array(0)
  for (;;) {
    const more = await connection.read(bytesMax, signal)
    if (more === undefined) {
      if (head.length === 0) return undefined
      throw new HttpFault('reset', 'the connection was closed in the middle of the head of an answer')
    }
    head = head.length === 0 ? more : concatBytes([head, more])
    const end = Buffer.from(head.buffer, head.byteOffset, head.length).indexOf('\r\n\r\n')
    if (end >= 0) {
      connection.unread(head.subarray(end + 4))
      return Buffer.from(head.buffer, head.byteOffset, end).toString('latin1')
    }
    if (head.length > bytesMax) throw new HttpFault('invalid', 'the head of the answer is too long')
  }
}
