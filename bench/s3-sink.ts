/**
 * An S3 that keeps nothing, as a process of its own: it reads requests as fast as it can and answers them. What it is
 * asked to list can be a million objects that it makes up. Prints its port.
 */
import { createServer, type Socket } from 'node:net'

const listedObjects = Number(process.argv[2] ?? 0)
const PAGE = 1000

/** Sizes of what was put, which is all that is kept of it. */
const sizes = new Map<string, number>()
const uploadSizes = new Map<string, number>()

const server = createServer(socket => {
  let left = 0
  let head = ''
  let method = ''
  let path = ''
  let sizeBytes = 0
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length || left < 0; ) {
      if (left > 0) {
        const count = Math.min(left, chunk.length - at)
        left -= count
        at += count
        if (left === 0) answer(socket, method, path, sizeBytes)
        continue
      }
      head += chunk.toString('latin1', at)
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      const [first = ''] = head.split('\r\n', 1)
      ;[method = '', path = ''] = first.split(' ')
      left = Number(/\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end))?.[1] ?? 0)
      sizeBytes = left
      at = chunk.length - (head.length - end - 4)
      head = ''
      if (left === 0) answer(socket, method, path, sizeBytes)
    }
  })
})

function answer(socket: Socket, method: string, whole: string, sizeBytes: number): void {
  const [path = '', search = ''] = whole.split('?')
  const query = new URLSearchParams(search)
  const key = decodeURIComponent(path.split('/').slice(2).join('/'))
  const isBeginning = method === 'POST' && query.has('uploads')
  if (isBeginning) uploadSizes.set(key, 0)
  else if (method === 'POST') sizes.set(key, uploadSizes.get(key) ?? 0)
  else if (method === 'PUT' && !query.has('partNumber')) sizes.set(key, sizeBytes)
  else if (method === 'PUT') uploadSizes.set(key, (uploadSizes.get(key) ?? 0) + sizeBytes)
  // a segment is pushed again and again, each time as if for the first time
  if (method === 'HEAD') head(socket, key.includes('/wal_005/') ? undefined : sizes.get(key))
  else if (isBeginning) reply(socket, 200, '<I><UploadId>u</UploadId></I>')
  else if (method === 'POST') reply(socket, 200, '<C><ETag>x</ETag></C>')
  else if (method === 'PUT') reply(socket, 200, '')
  else if (method === 'DELETE') reply(socket, 204, '')
  else if (query.has('prefix')) reply(socket, 200, page(query))
  else reply(socket, 404, '<Error><Code>NoSuchKey</Code><Message>none</Message></Error>')
}

function head(socket: Socket, sizeBytes: number | undefined): void {
  const facts = sizeBytes === undefined ? '404 X' : `200 X\r\nContent-Length: ${sizeBytes}`
  socket.write(`HTTP/1.1 ${facts}\r\nx-amz-request-id: r\r\n${MODIFIED}\r\n\r\n`)
}

const MODIFIED = 'Last-Modified: Thu, 26 Nov 2026 00:00:00 GMT'

function reply(socket: Socket, status: number, body: string): void {
  const length = `Content-Length: ${Buffer.byteLength(body)}`
  socket.write(
    `HTTP/1.1 ${status} X\r\nx-amz-request-id: r\r\nETag: "0123456789abcdef0123456789abcdef"\r\n${length}\r\n\r\n${body}`,
  )
}

function page(query: URLSearchParams): string {
  const first = Number(query.get('continuation-token') ?? 0)
  const isWal = (query.get('prefix') ?? '').endsWith('wal_005/')
  const last = isWal ? Math.min(listedObjects, first + PAGE) : first
  const prefix = query.get('prefix') ?? ''
  const entries: string[] = []
  for (let index = first; index < last; index++) {
    const name = `00000001${hex(index >>> 8)}${hex(index & 255)}.lz4`
    entries.push(contents(prefix + name, 4_194_304))
  }
  if (!isWal) {
    for (const [key, sizeBytes] of sizes) {
      if (key.startsWith(prefix)) entries.push(contents(key, sizeBytes))
    }
  }
  const next = isWal && last < listedObjects ? `<NextContinuationToken>${last}</NextContinuationToken>` : ''
  return `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>${next !== ''}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`
}

function contents(key: string, sizeBytes: number): string {
  return `<Contents><Key>${key}</Key><LastModified>2026-11-26T00:00:00.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>${sizeBytes}</Size><StorageClass>STANDARD</StorageClass></Contents>`
}

function hex(value: number): string {
  return value.toString(16).toUpperCase().padStart(8, '0')
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  console.log(typeof address === 'object' && address !== null ? address.port : 0)
})
