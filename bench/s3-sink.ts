/**
 * An S3 that keeps nothing, as a process of its own: it reads requests as fast as it can and answers them. What it is
 * asked to list can be a million objects that it makes up. Prints its port.
 */
import { createServer, type Socket } from 'node:net'

const listedObjects = Number(process.argv[2] ?? 0)
const PAGE = 1000

const server = createServer(socket => {
  let left = 0
  let head = ''
  let method = ''
  let path = ''
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length || left < 0; ) {
      if (left > 0) {
        const count = Math.min(left, chunk.length - at)
        left -= count
        at += count
        if (left === 0) answer(socket, method, path)
        continue
      }
      head += chunk.toString('latin1', at)
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      const [first = ''] = head.split('\r\n', 1)
      ;[method = '', path = ''] = first.split(' ')
      left = Number(/\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))?.[1] ?? 0)
      at = chunk.length - (head.length - end - 4)
      head = ''
      if (left === 0) answer(socket, method, path)
    }
  })
})

function answer(socket: Socket, method: string, path: string): void {
  const query = new URLSearchParams(path.split('?')[1] ?? '')
  if (method === 'HEAD') reply(socket, 404, '', false)
  else if (method === 'PUT') reply(socket, 200, '')
  else if (method === 'DELETE') reply(socket, 204, '')
  else if (method === 'POST') {
    reply(socket, 200, query.has('uploads') ? '<I><UploadId>u</UploadId></I>' : '<C><ETag>x</ETag></C>')
  } else if (query.has('prefix')) reply(socket, 200, page(query))
  else reply(socket, 404, '<Error><Code>NoSuchKey</Code><Message>none</Message></Error>')
}

function reply(socket: Socket, status: number, body: string, hasLength = true): void {
  const length = hasLength ? `Content-Length: ${Buffer.byteLength(body)}\r\n` : ''
  socket.write(`HTTP/1.1 ${status} X\r\nETag: "0123456789abcdef0123456789abcdef"\r\n${length}\r\n${body}`)
}

function page(query: URLSearchParams): string {
  const first = Number(query.get('continuation-token') ?? 0)
  const isWal = (query.get('prefix') ?? '').endsWith('wal_005/')
  const last = isWal ? Math.min(listedObjects, first + PAGE) : first
  const prefix = query.get('prefix') ?? ''
  const entries: string[] = []
  for (let index = first; index < last; index++) {
    const name = `00000001${hex(index >>> 8)}${hex(index & 255)}.lz4`
    entries.push(
      `<Contents><Key>${prefix}${name}</Key><LastModified>2026-11-26T00:00:00.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>4194304</Size><StorageClass>STANDARD</StorageClass></Contents>`,
    )
  }
  const next = isWal && last < listedObjects ? `<NextContinuationToken>${last}</NextContinuationToken>` : ''
  return `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>${next !== ''}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0')
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  console.log(typeof address === 'object' && address !== null ? address.port : 0)
})
