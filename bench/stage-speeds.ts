import { createHash } from 'node:crypto'
import { openCodec } from '../src/codec/open-codec.ts'
import { openHasher } from '../src/kit/hash.ts'
import { createLinearMemory } from '../src/kit/linear-memory.ts'
import { CRC32C_BEGIN } from '../src/postgres/crc32c.ts'
import { openCrc32c } from '../src/postgres/crc32c-engine.ts'
import { openPageVerifier } from '../src/postgres/page.ts'
import { openSegmentChecker } from '../src/postgres/wal/page-reader.ts'
import { walBytes } from '../test/support/wal-bytes.ts'

const SEGMENT = '000000010000000000000007'
const PASSES = 7
const ROUNDS = 16
const CONTENT_BYTES = 1 << 24

interface Stage {
  readonly name: string
  readonly where: string
  run(): void
}

/** What each stage that the original does not have takes of one thread, on bytes that lie in the memory of the codec. */
export async function measureStages(): Promise<string[][]> {
  const rows = (await stages()).map(({ name, where, run }) => {
    let bestMs = Number.POSITIVE_INFINITY
    for (let pass = 0; pass < PASSES; pass++) {
      const before = process.cpuUsage()
      for (let round = 0; round < ROUNDS; round++) run()
      const { user, system } = process.cpuUsage(before)
      bestMs = Math.min(bestMs, (user + system) / 1000 / ROUNDS)
    }
    return [name, where, (bestMs / (CONTENT_BYTES / 1e9) / 1000).toFixed(3), bestMs.toFixed(2)]
  })
  return [['stage', 'in', 'CPU s per GB', 'ms per 16 MiB'], ...rows]
}

async function stages(): Promise<Stage[]> {
  const memory = createLinearMemory()
  const codec = openCodec({ compression: 'lz4' }, memory)
  const writer = await codec.seal({ write() {}, end() {} }, 'part')
  const { base, capacityBytes } = writer
  const segment = walBytes(SEGMENT, { segmentBytes: CONTENT_BYTES })
  memory.bytes.set(segment.subarray(0, capacityBytes), base)
  const block = memory.bytes.subarray(base, base + capacityBytes)
  const blocks = CONTENT_BYTES / capacityBytes
  const each = (action: () => void) => (): void => {
    for (let index = 0; index < blocks; index++) action()
  }
  const hasher = openHasher(memory)
  const verifier = openPageVerifier({ memory })
  const pages = emptyPages(memory.bytes, memory.allocate(capacityBytes, 8192), capacityBytes)
  const crc = openCrc32c(memory)
  return [
    {
      name: 'XXH3-128 of the content (content manifest, records)',
      where: 'push, fetch, wal-push, wal-fetch',
      run: each(() => hasher.update(block)),
    },
    {
      name: 'page headers and checksums (`--verify`)',
      where: 'backup-push',
      run: each(() => void verifier.verify(pages, 0)),
    },
    {
      name: 'CRC-32C (`WALG_BACKUP_MANIFEST_CHECKSUMS=crc32c`)',
      where: 'backup-fetch',
      run: each(() => void crc.update(CRC32C_BEGIN, block)),
    },
    {
      name: 'SHA-256 (`WALG_BACKUP_MANIFEST_CHECKSUMS=sha256`)',
      where: 'backup-fetch',
      run: each(() => void createHash('sha256').update(block).digest()),
    },
    {
      name: 'page addresses of a segment',
      where: 'wal-fetch',
      run() {
        const checker = openSegmentChecker(SEGMENT)
        for (let at = 0; at < segment.length; at += capacityBytes)
          checker.update(segment.subarray(at, at + capacityBytes))
        checker.end()
      },
    },
    {
      name: 'for comparison: LZ4 of this content',
      where: '',
      run: each(() => void writer.flush(capacityBytes)),
    },
  ]
}

/** Pages with a valid header and no rows, whose checksums are computed like any other. */
function emptyPages(memory: Uint8Array, at: number, sizeBytes: number): Uint8Array {
  const pages = memory.subarray(at, at + sizeBytes).fill(0)
  const view = new DataView(pages.buffer, pages.byteOffset, sizeBytes)
  for (let page = 0; page < sizeBytes; page += 8192) {
    view.setUint32(page + 4, 1, true)
    view.setUint16(page + 12, 24, true)
    view.setUint16(page + 14, 8192, true)
    view.setUint16(page + 16, 8192, true)
    view.setUint16(page + 18, 8196, true)
  }
  return pages
}
