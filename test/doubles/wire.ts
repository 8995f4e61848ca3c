import { connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP line to a server of loopback that misbehaves on request. */
export interface Wire extends AsyncDisposable {
  readonly port: number
  /** Connections that were made so far. */
  readonly connections: number
  /** The next connection breaks after so many bytes from the client, the one after that by the next number, … */
  cutAfterSent(...bytes: readonly number[]): void
  /** The same for bytes to the client. */
  cutAfterReceived(...bytes: readonly number[]): void
  /** Breaks every connection now. */
  cut(): void
  /** Bytes come so much later to the client: time to break the line before an answer arrives. */
  delayAnswers(delayMs: number): void
  /** Nothing moves any more, in either direction, but the connections stay. */
  stall(): void
  /** New connections are refused (closed at once), or let through again. */
  refuse(isRefused: boolean): void
}

export async function startWire(targetPort: number): Promise<Wire> {
  const sockets = new Set<Socket>()
  const sendLimits: number[] = []
  const receiveLimits: number[] = []
  let connections = 0
  let delayMs = 0
  let isStalled = false
  let isRefused = false
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  const join = (from: Socket, to: Socket, limitBytes: number | undefined, isAnswer: boolean): void => {
    let passedBytes = 0
    from.on('data', chunk => {
      if (isStalled) return
      passedBytes += chunk.length
      const pass = (): void => void (to.destroyed || to.write(chunk))
      if (limitBytes !== undefined && passedBytes > limitBytes) {
        from.resetAndDestroy()
        to.resetAndDestroy()
      } else if (isAnswer && delayMs > 0) setTimeout(pass, delayMs)
      else pass()
    })
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
  }
  const server = createServer(client => {
    connections++
    client.on('error', () => undefined)
    if (isRefused) return void client.resetAndDestroy()
    const target = connect(targetPort, '127.0.0.1')
    for (const socket of [client, target]) sockets.add(socket.setNoDelay(true))
    join(client, target, sendLimits.shift(), false)
    join(target, client, receiveLimits.shift(), true)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: portOf(server),
    get connections() {
      return connections
    },
    cutAfterSent: (...bytes) => void sendLimits.push(...bytes),
    cutAfterReceived: (...bytes) => void receiveLimits.push(...bytes),
    cut,
    delayAnswers(ms) {
      delayMs = ms
    },
    stall() {
      isStalled = true
    },
    refuse(isOn) {
      isRefused = isOn
    },
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
