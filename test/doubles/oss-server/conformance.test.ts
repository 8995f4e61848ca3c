import { afterAll, beforeAll, expect, test } from 'bun:test'
// @ts-expect-error it comes without types
import OssClient from 'ali-oss'
import { type OssServer, startOssServer } from './oss-server.ts'

let server: OssServer
beforeAll(async () => {
  server = await startOssServer()
})
afterAll(() => server[Symbol.asyncDispose]())

interface Client {
  put(name: string, body: Buffer, options?: object): Promise<{ res: { status: number } }>
  get(name: string, options?: object): Promise<{ content: Buffer }>
  head(name: string): Promise<{ status: number }>
  copy(to: string, from: string): Promise<unknown>
  listV2(query: object): Promise<{ objects?: { name: string }[]; prefixes?: string[] }>
  multipartUpload(name: string, body: Buffer, options: object): Promise<unknown>
  deleteMulti(names: string[], options: object): Promise<unknown>
}

function clientOf(accessKeySecret: string): Client {
  return new OssClient({
    accessKeyId: server.accessKeyId,
    accessKeySecret,
    bucket: server.createBucket(),
    region: 'oss-cn-test',
    endpoint: server.url,
    authorizationV4: true,
  })
}

test('the server of the tests is one for the client of Alibaba, signatures of version 4 included', async () => {
  const client = clientOf(server.accessKeySecret)
  const content = Buffer.alloc(300_000, 'content')
  await client.put('a/with space+%25/čeština', content.subarray(0, 10))
  expect((await client.get('a/with space+%25/čeština')).content.toString()).toBe('contentcon')
  const part = await client.get('a/with space+%25/čeština', { headers: { Range: 'bytes=2-4' } })
  expect(part.content.toString()).toBe('nte')
  await client.multipartUpload('b/large', content, { partSize: 102_400 })
  expect((await client.get('b/large')).content.equals(content)).toBe(true)
  await client.copy('b/copy', 'b/large')
  expect((await client.head('b/copy')).status).toBe(200)
  const again = client.put('b/copy', content, { headers: { 'x-oss-forbid-overwrite': 'true' } })
  expect(await again.catch((error: { code?: string }) => error.code)).toBe('FileAlreadyExists')
  const { objects, prefixes } = await client.listV2({ prefix: 'b/', delimiter: '/' })
  expect([objects?.map(({ name }) => name), prefixes ?? []]).toEqual([['b/copy', 'b/large'], []])
  await client.deleteMulti(['b/copy', 'b/large'], { quiet: true })
  expect((await client.listV2({})).objects?.map(({ name }) => name)).toEqual(['a/with space+%25/čeština'])
})

test('and refuses a wrong secret', async () => {
  const put = clientOf('wrong').put('x', Buffer.from('x'))
  expect(await put.catch((error: { code?: string }) => error.code)).toBe('SignatureDoesNotMatch')
})
