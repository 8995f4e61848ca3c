/**
 * How much memory and time the documents of a backup with many files take. One process writes
 * files_metadata.json and a content manifest, as a push does, another reads both, as a fetch does.
 * Run: npx bun bench/files-metadata-memory.ts [files]
 */
import { spawnSync } from 'node:child_process'
import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { FilesMetadata } from '../src/repository/files-metadata.ts'
import { decodeFilesMetadata, encodeFilesMetadata } from '../src/repository/files-metadata-document.ts'
import { ContentManifest } from '../src/repository/manifest.ts'
import { decodeContentManifest, encodeContentManifest } from '../src/repository/manifest-document.ts'

const MIB = 1024 * 1024
const [countText = '1000000', phase, folder = ''] = process.argv.slice(2)
const filesCount = Number(countText)

async function step<T>(label: string, work: () => Promise<T> | T): Promise<T> {
  const startMs = performance.now()
  const startCpu = process.cpuUsage()
  const result = await work()
  const { user, system } = process.cpuUsage(startCpu)
  const peak = Math.round(process.resourceUsage().maxRSS / 1024)
  console.log(
    `${label.padEnd(28)} ${Math.round(performance.now() - startMs)} ms, CPU ${Math.round((user + system) / 1000)} ms, peak ${peak} MiB so far`,
  )
  return result
}

function fill(): { files: FilesMetadata; manifest: ContentManifest } {
  const files = new FilesMetadata()
  const header = { backup: 'base_000000010000000000000002', hashAlgorithm: 'xxh3-128' }
  const manifest = new ContentManifest(header, files.names)
  const part = 'tar_partitions/part_001.tar.lz4'
  manifest.addObject({ key: part, sizeBytes: 1, hash: '0'.repeat(32) })
  for (let number = 0; number < filesCount; number += 1) {
    const name = `/base/${16384 + (number >> 10)}/${16384 + number}`
    const mtime = {
      seconds: 1_795_000_000 + number,
      nanos: (number * 7919) % 1_000_000_000,
      offsetMinutes: 60,
    }
    files.addFile({ name, isIncremented: false, isSkipped: false, mtime })
    files.addPartMember('part_001.tar.lz4', name)
    manifest.addFile({ name, object: part, sizeBytes: number, hash: number.toString(16).padStart(32, '0') })
  }
  return { files, manifest }
}

async function write(file: string, body: AsyncIterable<Uint8Array>): Promise<void> {
  await pipeline(Readable.from(body), createWriteStream(path.join(folder, file)))
  console.log(`${file}: ${Math.round(statSync(path.join(folder, file)).size / MIB)} MiB`)
}

function open(file: string): AsyncIterable<Uint8Array> {
  return createReadStream(path.join(folder, file), { highWaterMark: 1 << 18 })
}

async function writePhase(): Promise<void> {
  const { files, manifest } = await step('fill columns', fill)
  await step('write files_metadata.json', () => write('files_metadata.json', encodeFilesMetadata(files)))
  await step('write content manifest', () => write('content_manifest.jsonl', encodeContentManifest(manifest)))
}

async function readPhase(): Promise<void> {
  const name = 'files_metadata.json'
  const files = await step('read files_metadata.json', () => decodeFilesMetadata(name, open(name)))
  const manifestName = 'content_manifest.jsonl'
  const manifest = await step('read content manifest', () =>
    decodeContentManifest(manifestName, open(manifestName), files.names),
  )
  if (files.filesCount !== filesCount || manifest.filesCount !== filesCount)
    throw new Error('files were lost')
}

if (phase === 'write') await writePhase()
else if (phase === 'read') await readPhase()
else {
  const place = mkdtempSync(path.join(tmpdir(), 'wal-g-bench-'))
  try {
    console.log(`${filesCount} files`)
    for (const next of ['write', 'read']) {
      const args = [import.meta.filename, String(filesCount), next, place]
      const run = spawnSync(process.execPath, args, { stdio: 'inherit' })
      if (run.status !== 0) process.exitCode = 1
    }
  } finally {
    rmSync(place, { recursive: true })
  }
}
