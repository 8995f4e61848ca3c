import { expect } from 'bun:test'
import path from 'node:path'
import { missingPostgres, projectRoot } from '../../support/postgres-binaries.ts'
import { runProcess } from '../../support/process.ts'
import { testUnless } from '../../support/skip.ts'
import { walgBinary } from '../../support/walg.ts'

testUnless(missingPostgres(18), 'the demo loses a server and brings its rows back', async () => {
  const { exit, stdout, stderr } = await runProcess(
    process.execPath,
    [path.join(projectRoot, 'demo/demo.ts')],
    {
      env: { ...process.env, WALG_BINARY: walgBinary() },
    },
  )
  expect({ exit, stderr: exit === 0 ? '' : stderr }).toEqual({ exit: 0, stderr: '' })
  expect(stdout).toContain('the data is back as it was')
})
