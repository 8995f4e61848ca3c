import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { missingTool } from '../support/skip.ts'
import { type CompressionUnderTest, compressionContract } from './compression.ts'

const WHOLE = { noticesCuts: true, noticesChanges: true, readsConcatenated: true, largeBytes: 9_000_001 }

compressionContract({ name: 'lz4', ...WHOLE })
compressionContract({ name: 'zstd', ...WHOLE })
compressionContract({ name: 'brotli', ...WHOLE, noticesChanges: false, readsConcatenated: false, largeBytes: 3_000_001 })
compressionContract({ name: 'lzma', ...WHOLE, noticesChanges: false, readsConcatenated: false, largeBytes: 1_500_001, growth: 15 })
compressionContract({
  name: 'none',
  noticesCuts: false,
  noticesChanges: false,
  readsConcatenated: false,
  largeBytes: 3_000_001,
})
compressionContract({ name: 'gzip', ...WHOLE, largeBytes: 3_000_001, seal: async content => gzipSync(content) })

if (missingTool('lzop') === undefined) {
  compressionContract({ name: 'lzo', ...WHOLE, largeBytes: 3_000_001, seal: async content => lzop(content) })
}

function lzop(content: Uint8Array): Uint8Array {
  const directory = mkdtempSync(path.join(tmpdir(), 'lzop-'))
  try {
    writeFileSync(path.join(directory, 'x'), content)
    const run = spawnSync('lzop', ['-o', path.join(directory, 'x.lzo'), path.join(directory, 'x')])
    if (run.status !== 0) throw new Error(`lzop: ${run.stderr}`)
    return new Uint8Array(readFileSync(path.join(directory, 'x.lzo')))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

export type { CompressionUnderTest }
