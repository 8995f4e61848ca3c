import { expect, test } from 'bun:test'
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { projectRoot } from '../../support/postgres-binaries.ts'
import { runProcess } from '../../support/process.ts'
import { interopDirectory, missingTool, testUnless } from '../../support/skip.ts'
import { startGcsServer } from './gcs-server.ts'

const proof = path.join(interopDirectory(), '../lab/gcs/gcs-prove.mjs')

testUnless(
  missingTool('node') ?? (existsSync(proof) ? undefined : 'the lab is absent, set WALG_INTEROP_DIR'),
  "Google's own client finds no difference to the service in our server",
  async () => {
    const server = await startGcsServer()
    // it must lie where node finds the client
    const script = path.join(projectRoot, 'node_modules/.cache/gcs-prove.mjs')
    mkdirSync(path.dirname(script), { recursive: true })
    cpSync(proof, script)
    const finished = await runProcess('node', [script, server.url])
    await server.close()
    expect(finished.stdout).toContain('16 passed, 0 failed')
  },
  60_000,
)

test('an upload that has not ended is not visible', async () => {
  const server = await startGcsServer()
  server.buckets.create('bucket')
  const id = server.uploads.begin('bucket', 'object', {}, {})
  expect(server.uploads.accept(id, 'bytes 0-299999/*', Buffer.alloc(300_000))).toEqual({ keptBytes: 262_144 })
  expect(server.buckets.sorted('bucket', false)).toEqual([])
  await server.close()
})
