import { expect, test } from 'bun:test'
import { hostname } from 'node:os'
import { startProcess } from '../../../test/support/process.ts'
import { untilTrue } from '../../../test/support/until-true.ts'
import { askLockHolder, takeProcessLock } from './process-lock.ts'

const name = (what: string): string => `test ${process.pid} ${what}`

test('one at a time has it, tells who it is, and gives it back', async () => {
  const lock = await takeProcessLock(name('one'))
  expect(lock).toBeDefined()
  expect(await takeProcessLock(name('one'))).toBeUndefined()
  await using other = await takeProcessLock(name('other'))
  expect(other).toBeDefined()
  const holder = await askLockHolder(name('one'))
  expect(holder).toEqual({ pid: process.pid, host: hostname(), since: expect.any(String) })
  expect(Math.abs(Date.parse(holder!.since) - Date.now())).toBeLessThan(60_000)
  await lock![Symbol.asyncDispose]()
  expect(await askLockHolder(name('one'))).toBeUndefined()
  await using again = await takeProcessLock(name('one'))
  expect(again).toBeDefined()
})

test('many at the same moment: one gets it', async () => {
  const locks = await Promise.all(Array.from({ length: 20 }, () => takeProcessLock(name('many'))))
  const taken = locks.filter(lock => lock !== undefined)
  expect(taken).toHaveLength(1)
  await taken[0]![Symbol.asyncDispose]()
})

test('the lock of a stopped process holds, that of a killed one is gone at once', async () => {
  const script = `import { takeProcessLock } from '${import.meta.dir}/process-lock.ts'
    await takeProcessLock('${name('killed')}')
    console.error('taken')
    setInterval(() => {}, 1000)`
  const holder = startProcess(process.execPath, ['-e', script], { env: { PATH: process.env['PATH'] } })
  await untilTrue(() => holder.stderr().includes('taken'))
  holder.kill('SIGSTOP')
  expect(await takeProcessLock(name('killed'))).toBeUndefined()
  expect(await askLockHolder(name('killed'))).toBeUndefined()
  holder.kill('SIGKILL')
  await holder.finished
  await using lock = await takeProcessLock(name('killed'))
  expect(lock).toBeDefined()
})
