import { afterAll, beforeAll } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { trustHandle } from '../../src/codec/compression/zlib-engine.ts'
import { compressionContract } from '../contract/compression.ts'

// On a runtime whose private zlib handle is gone or changed, the public stream does the work: the same promises.
beforeAll(() => trustHandle(false))
afterAll(() => trustHandle(undefined))

const WHOLE = { noticesCuts: true, noticesChanges: true, readsConcatenated: true, largeBytes: 2_000_001 }

compressionContract({ name: 'zstd', ...WHOLE })
compressionContract({ name: 'brotli', ...WHOLE, noticesChanges: false, readsConcatenated: false })
compressionContract({ name: 'gzip', ...WHOLE, seal: async content => gzipSync(content) })
