import { afterAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { createReadStream, readFileSync } from 'node:fs'
import path from 'node:path'
import { Glob } from 'bun'
import { collect } from '../../src/kit/bytes.ts'
import { decodeFilesMetadata, encodeFilesMetadata } from '../../src/repository/files-metadata-document.ts'
import { formatMetadata, parseMetadata } from '../../src/repository/metadata.ts'
import { formatSentinel, readSentinelDocument } from '../../src/repository/sentinel.ts'
import { formatWalMetadata, mergeWalMetadata } from '../../src/repository/wal-metadata.ts'
import { describeUnless, interopDirectory, interopFixtures, missingInterop } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const reason = missingInterop()
const counts = { sentinels: 0, metadata: 0, filesMetadata: 0, walMetadata: 0 }

describeUnless(reason, 'documents of the original are read and written again', () => {
  for (const fixture of reason === undefined ? interopFixtures() : []) {
    test(fixture, async () => {
      using directory = tempDirectory('documents')
      const archive = path.join(interopDirectory(), `${fixture}.tar`)
      const args = ['-xf', archive, '-C', directory.path, '--wildcards', '*.json']
      spawnSync('tar', args) // fails where a fixture has no such member: wal-encodings
      for (const file of new Glob('**/*.json').scanSync(directory.path)) await check(directory.at(file), file)
    })
  }

  afterAll(() => {
    console.log(`documents of the original: ${JSON.stringify(counts)}`)
    expect(counts.sentinels).toBeGreaterThan(40)
    expect(counts.metadata).toBeGreaterThanOrEqual(counts.sentinels)
    expect(counts.filesMetadata).toBeGreaterThan(40)
    expect(counts.walMetadata).toBeGreaterThan(2)
  })

  async function check(file: string, key: string): Promise<void> {
    const name = path.basename(file)
    if (name.endsWith('_backup_stop_sentinel.json')) await checkSentinel(file, key)
    else if (name === 'metadata.json') checkMetadata(file, key)
    else if (name === 'files_metadata.json') await checkFilesMetadata(file, key)
    else checkWalMetadata(file)
  }
})

/** Version 1, with the files inside, is read but not written again; 3.0.7 wrote a null for no tablespaces. */
async function checkSentinel(file: string, key: string): Promise<void> {
  const { sentinel, inlineFiles } = await readSentinelDocument(key, createReadStream(file))
  counts.sentinels += 1
  if (inlineFiles === null)
    expect(formatSentinel(sentinel)).toBe(readFileSync(file, 'utf8').replace('"Spec":null,', ''))
  else expect(inlineFiles.filesCount).toBeGreaterThan(400)
}

function checkMetadata(file: string, key: string): void {
  const text = readFileSync(file, 'utf8')
  expect(formatMetadata(parseMetadata(key, text))).toBe(text)
  counts.metadata += 1
}

/** The original writes its maps in no order, so the values are compared. */
async function checkFilesMetadata(file: string, key: string): Promise<void> {
  const files = await decodeFilesMetadata(key, createReadStream(file))
  const text = new TextDecoder().decode(await collect(encodeFilesMetadata(files), 1 << 26))
  const stored = readFileSync(file, 'utf8')
  expect(JSON.parse(text)).toEqual(JSON.parse(stored))
  expect(text.length).toBe(stored.length)
  counts.filesMetadata += 1
}

function checkWalMetadata(file: string): void {
  const text = readFileSync(file, 'utf8')
  expect(mergeWalMetadata([{ name: file, text }])).toBe(text)
  expect(
    Object.keys(JSON.parse(text)).every(name => formatWalMetadata(name, 0n).startsWith(`{"${name}"`)),
  ).toBe(true)
  counts.walMetadata += 1
}
