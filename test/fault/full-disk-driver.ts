// Run by full-disk.test.ts inside a namespace where argv[2] is a file system of 1 MiB.
import { readdirSync } from 'node:fs'
import { hasCode } from '../../src/kit/errors.ts'
import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { lentStream, patternBytes } from '../contract/storage-support.ts'

const root = process.argv[2] ?? ''
const large = patternBytes(3 << 20)
const outcomes: string[] = []

async function note(name: string, work: Promise<unknown>): Promise<void> {
  const left = (): string => readdirSync(root, { recursive: true, encoding: 'utf8' }).sort().join(' ')
  try {
    await work
    outcomes.push(`${name}: done; ${left()}`)
  } catch (error) {
    const code = hasCode(error, 'DISK_FULL') ? error.code : String(error)
    outcomes.push(`${name}: ${code}; ${left()}`)
  }
}

for (const mode of ['pooled', 'blocking'] as const) {
  const storage = await openFsDriver({ name: 'disk', root, isDurable: true, mode })
  await note(`${mode} put`, storage.put('a/large', lentStream(large, 1 << 16)))
  const sink = await storage.openSink('b/large')
  const writeAll = async (): Promise<void> => {
    for (let at = 0; at < large.length; at += 1 << 16) await sink.write(large.subarray(at, at + (1 << 16)))
    await sink.end()
  }
  await note(
    `${mode} sink`,
    writeAll().catch(async error => {
      await sink.abort()
      throw error
    }),
  )
  await storage.put('half', lentStream(large.subarray(0, 600_000), 1 << 16))
  await note(`${mode} copy`, storage.copy('half', 'c/half'))
  await storage.delete(['half'])
}
console.log(JSON.stringify(outcomes))
