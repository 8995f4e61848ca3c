import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { forwarded } from '../../../../test/doubles/forwarded-storage.ts'
import { operationContext, type TestContext } from '../../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { segmentName, walBytes } from '../../../../test/support/wal-bytes.ts'
import { WalgError } from '../../../kit/errors.ts'
import type { Storage } from '../../../storage/storage.ts'
import { createWalPusher } from '../wal-pusher.ts'

const name = segmentName(1)

let place: TempDirectory
let primary: TestContext
let other: TestContext

beforeEach(async () => {
  place = tempDirectory('refuse-elsewhere')
  for (const root of ['primary', 'other']) mkdirSync(place.at(root))
  primary = await operationContext(place.at('primary'))
  other = await operationContext(place.at('other'), { codec: { compression: 'zstd' } })
})
afterEach(() => place.remove())

async function push(given: TestContext, salt: number, elsewhere: readonly Storage[] = []): Promise<string> {
  writeFileSync(place.at(name), walBytes(name, { salt }))
  const options = { preventOverwrite: true, records: undefined, elsewhere: async () => elsewhere }
  return (await createWalPusher(given, options).push(place.at(name))).kind
}

const stored = (): string[] =>
  existsSync(place.at('primary/wal_005')) ? readdirSync(place.at('primary/wal_005')) : []
const warnings = (): string[] => primary.messages.filter(message => message.startsWith('WARNING'))

describe('a push where another storage of the archive has the name', () => {
  test('is refused when the content there is another one', async () => {
    await push(other, 2)
    await expect(push(primary, 1, [other.storage])).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
    expect(stored()).toEqual([])
  })

  test('is made when the content is the same: an archive has it where it is looked for first', async () => {
    await push(other, 1)
    expect(await push(primary, 1, [other.storage])).toBe('stored')
    expect(stored()).toEqual([`${name}.lz4`])
    expect(warnings()).toEqual([])
  })

  test('is made, with a warning, when that storage does not answer or has it damaged', async () => {
    await push(other, 2)
    const down: Storage = {
      ...forwarded(other.storage),
      stat: () => Promise.reject(new WalgError('STORAGE_UNAVAILABLE', 'down')),
    }
    expect(await push(primary, 1, [down])).toBe('stored')
    expect(warnings()).toEqual([expect.stringContaining(`cannot be asked whether it has ${name}: down`)])

    primary = await operationContext(place.at('primary'), { codec: { compression: 'none' } })
    await primary.storage.delete([`wal_005/${name}.lz4`])
    const object = place.at(`other/wal_005/${name}.zst`)
    writeFileSync(object, readFileSync(object).fill(0x55, 300_000, 300_100))
    expect(await push(primary, 1, [other.storage])).toBe('stored')
    expect(warnings()).toEqual([expect.stringContaining('is damaged')])
  })

  test('does not ask it for what is archived already', async () => {
    await push(primary, 1)
    await push(other, 2)
    expect(await push(primary, 1, [other.storage])).toBe('already-archived')
  })
})
