import { expect } from 'bun:test'
import { testUnless } from '../skip.ts'
import { missingSwift, startSwiftServer } from './swift-server.ts'

testUnless(missingSwift(), 'a Swift of our own answers, refuses what is too large, and stops', async () => {
  const server = await startSwiftServer({ maxFileSizeBytes: 1000 })
  const container = await server.createContainer()
  const put = (bytes: number): Promise<Response> =>
    server.request('PUT', `/${container}/object`, { body: new Uint8Array(bytes) })
  expect((await put(100)).status).toBe(201)
  expect((await put(1001)).status).toBe(413)
  const listing = await server.request('GET', `/${container}?format=json`)
  expect(await listing.json()).toMatchObject([{ name: 'object', bytes: 100 }])
  const unsigned = await fetch(`${server.url}/${container}/object?x-id=GetObject`, {
    headers: { Authorization: 'AWS test:tester:wrong', Date: new Date().toUTCString() },
  })
  expect(unsigned.status).toBe(403)
  await server.stop()
  expect(fetch(`${server.url}/healthcheck`)).rejects.toThrow()
})
