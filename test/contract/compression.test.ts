import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describeUnless, missingTool } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { compressionContract } from './compression.ts'

const WHOLE = { noticesCuts: true, noticesChanges: true, readsConcatenated: true, largeBytes: 9_000_001 }

compressionContract({ name: 'lz4', ...WHOLE })
compressionContract({ name: 'zstd', ...WHOLE })
compressionContract({
  name: 'brotli',
  ...WHOLE,
  noticesChanges: false,
  readsConcatenated: false,
  largeBytes: 3_000_001,
})
compressionContract({
  name: 'lzma',
  ...WHOLE,
  noticesChanges: false,
  readsConcatenated: false,
  largeBytes: 1_500_001,
  growth: 15,
})
compressionContract({
  name: 'none',
  noticesCuts: false,
  noticesChanges: false,
  readsConcatenated: false,
  largeBytes: 3_000_001,
})
compressionContract({
  name: 'gzip',
  ...WHOLE,
  largeBytes: 3_000_001,
  seal: async content => gzipSync(content),
})

describeUnless(missingTool('lzop'), 'with the lzop tool', () => {
  compressionContract({ name: 'lzo', ...WHOLE, largeBytes: 3_000_001, seal: async content => lzop(content) })
})

function lzop(content: Uint8Array): Uint8Array {
  using directory = tempDirectory('lzop')
  const file = directory.at('content')
  writeFileSync(file, content)
  const run = spawnSync('lzop', [file])
  if (run.status !== 0) throw new Error(`lzop: ${run.stderr}`)
  return new Uint8Array(readFileSync(`${file}.lzo`))
}
