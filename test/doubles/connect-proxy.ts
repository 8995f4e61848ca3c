import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A proxy for HTTPS on 127.0.0.1 (`CONNECT`), behind which every host is the server at `port`. */
export interface ConnectProxy {
  /** For HTTPS_PROXY. */
  readonly url: string
  /** The hosts that were asked for. */
  readonly hosts: string[]
  close(): Promise<void>
}

export async function startConnectProxy(port: number): Promise<ConnectProxy> {
  const hosts: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', (head: Buffer) => {
      const host = /^CONNECT (\S+):\d+ HTTP/.exec(head.toString('latin1'))?.[1]
      if (host === undefined) {
        socket.end('HTTP/1.1 405 X\r\n\r\n')
        return
      }
      hosts.push(host)
      const onward = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
        socket.pipe(onward).pipe(socket)
      })
      sockets.add(onward)
      onward.on('error', () => socket.destroy())
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hosts,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
