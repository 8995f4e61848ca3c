import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, readdirSync } from 'node:fs'
import { forwarded } from '../../../test/doubles/forwarded-storage.ts'
import { operationContext } from '../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import { Examination, type Finding } from './examination.ts'
import { examineStorage } from './examine-storage.ts'

let place: TempDirectory

beforeEach(() => {
  place = tempDirectory('examine-storage')
  mkdirSync(place.at('archive'))
})
afterEach(() => place.remove())

/** What is found beside the key. */
async function findingsOf(wrap: (storage: Storage) => Storage): Promise<readonly Finding[]> {
  const context = await operationContext(place.at('archive'), { wrap })
  const examination = new Examination(context.signal)
  await examineStorage(examination, context)
  expect(readdirSync(place.at('archive'))).toEqual([])
  return examination.findings.filter(({ area }) => area === 'storage')
}

test('a storage that heeds the condition of a put is all right', async () => {
  const findings = await findingsOf(storage => storage)
  expect(findings.map(({ verdict }) => verdict)).toEqual(['ok'])
})

test('a storage that accepts the condition of a put and does not heed it is a warning', async () => {
  const findings = await findingsOf(storage => ({
    ...forwarded(storage),
    put: (key, body, { ifAbsent: _ignored, ...options } = {}) => storage.put(key, body, options),
  }))
  expect(findings.map(({ verdict }) => verdict)).toEqual(['warning', 'ok'])
  expect(findings[0]!.message).toContain('replaces objects that it was told to keep')
})

test('a storage that has no such put is a note, whether it knows that or finds it out', async () => {
  for (const conditionalPut of [true, false]) {
    const findings = await findingsOf(storage => ({
      ...forwarded(storage),
      features: { ...storage.features, conditionalPut },
      put: (key, body, options) =>
        options?.ifAbsent === true
          ? Promise.reject(new WalgError('FORMAT_UNSUPPORTED', 'it has none'))
          : storage.put(key, body, options),
    }))
    expect(findings.map(({ verdict }) => verdict)).toEqual(['note', 'ok'])
  }
})
