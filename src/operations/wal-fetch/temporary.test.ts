import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { startProcess } from '../../../test/support/process.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { untilTrue } from '../../../test/support/until-true.ts'
import { removeStaleTemporaries, temporaryBeside } from './temporary.ts'

const MINUTE_MS = 60_000

let place: TempDirectory
beforeEach(() => {
  place = tempDirectory('temporaries')
})
afterEach(() => place.remove())

/** The name that another process gives its temporary, and whether it is to live on. */
async function temporaryOf(life: 'killed' | 'living'): Promise<{ file: string; end(): Promise<void> }> {
  const script = `import { temporaryBeside } from '${import.meta.dir}/temporary.ts'
    import { writeFileSync } from 'node:fs'
    const file = temporaryBeside('${place.at('RECOVERYXLOG')}')
    writeFileSync(file, 'half a segment')
    console.error(file + ';')
    setInterval(() => {}, 1000)`
  const run = startProcess(process.execPath, ['-e', script], { env: { PATH: process.env['PATH'] } })
  await untilTrue(() => run.stderr().includes(';'))
  const end = async (): Promise<void> => {
    run.kill('SIGKILL')
    await run.finished
  }
  if (life === 'killed') await end()
  return { file: run.stderr().split(';')[0]!, end }
}

function age(file: string, ms: number): void {
  const then = new Date(Date.now() - ms)
  utimesSync(file, then, then)
}

test('what a killed fetch has left goes after some minutes, that of a living one never', async () => {
  const killed = await temporaryOf('killed')
  const living = await temporaryOf('living')
  try {
    removeStaleTemporaries(place.path)
    expect(readdirSync(place.path)).toHaveLength(2)
    for (const { file } of [killed, living]) age(file, 6 * MINUTE_MS)
    removeStaleTemporaries(place.path)
    expect(readdirSync(place.path)).toEqual([basename(living.file)])
    age(living.file, 48 * 60 * MINUTE_MS)
    removeStaleTemporaries(place.path)
    expect(readFileSync(living.file, 'utf8')).toBe('half a segment')
  } finally {
    await living.end()
  }
  removeStaleTemporaries(place.path)
  expect(readdirSync(place.path)).toEqual([])
})

test('a number that was given to another process since protects nothing', () => {
  const { pid } = process
  const file = place.at(`.RECOVERYXLOG.${pid}-1.0123456789abcdef.wal-g-tmp`)
  const own = temporaryBeside(place.at('RECOVERYXLOG'))
  for (const each of [file, own]) {
    writeFileSync(each, '')
    age(each, 6 * MINUTE_MS)
  }
  removeStaleTemporaries(place.path)
  expect(readdirSync(place.path)).toEqual([basename(own)])
})

test('one that does not say whose it is stays for a day; other files and directories stay', () => {
  const nameless = place.at('.RECOVERYXLOG.0123456789abcdef.wal-g-tmp')
  const others = ['000000010000000000000001', '.something.wal-g-tmp', 'RECOVERYXLOG']
  for (const name of [basename(nameless), ...others]) writeFileSync(place.at(name), '')
  mkdirSync(place.at('.directory.1-1.0123456789abcdef.wal-g-tmp'))
  for (const name of readdirSync(place.path)) age(place.at(name), 60 * MINUTE_MS)
  removeStaleTemporaries(place.path)
  expect(readdirSync(place.path)).toHaveLength(5)
  for (const name of readdirSync(place.path)) age(place.at(name), 48 * 60 * MINUTE_MS)
  removeStaleTemporaries(place.path)
  expect(readdirSync(place.path)).toHaveLength(4)
  expect(readdirSync(place.path)).not.toContain(basename(nameless))
})

test('a directory that has gone, or may not be read, is none of its business', () => {
  removeStaleTemporaries(place.at('nowhere'))
  writeFileSync(place.at('file'), '')
  removeStaleTemporaries(join(place.path, 'file'))
})
