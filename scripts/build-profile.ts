import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const SEGMENT = '000000010000000000000001'
const SEGMENT_BYTES = 16 << 20
const PAGE_BYTES = 8192
/** Of a long page header: magic of PostgreSQL 15, page address, system identifier, sizes. */
const MAGIC = 0xd110
const LONG_HEADER = 0x0002

/** What a file of this kind holds: the functions that a run has used, in their order. */
export interface StartProfile extends Disposable {
  readonly files: readonly string[]
}

/**
 * Runs the verbs that PostgreSQL starts for every segment and records which functions they use, so that the compiler puts
 * these side by side: a process that lives for 50 ms then reads a fraction of its bytecode.
 */
export function recordStart(program: string): StartProfile {
  const workshop = mkdtempSync(path.join(tmpdir(), 'wal-g-profile-'))
  const files: string[] = []
  try {
    const configuration = path.join(workshop, 'walg.json')
    writeFileSync(configuration, '{}')
    const segment = path.join(workshop, 'pg_wal', SEGMENT)
    mkdirSync(path.dirname(segment))
    writeFileSync(segment, segmentBytes())
    for (const method of ['zstd', 'lz4']) {
      const repository = path.join(workshop, method)
      mkdirSync(repository)
      const fetched = path.join(workshop, `${method}-fetched`)
      for (const args of [
        ['wal-push', segment],
        ['wal-fetch', SEGMENT, fetched],
      ]) {
        const file = path.join(workshop, `order-${files.length}`)
        const env = {
          // in place of the configuration that whoever builds may have at home
          WALG_CONFIG_PATH: configuration,
          HOME: workshop,
          BUN_BYTECODE_ORDER_OUT: file,
          WALG_FILE_PREFIX: repository,
          WALG_COMPRESSION_METHOD: method,
        }
        const ran = spawnSync(program, args, { cwd: workshop, env, encoding: 'utf8' })
        if (ran.status !== 0) throw new Error(`${args.join(' ')}: status ${ran.status}\n${ran.stderr}`)
        files.push(file)
      }
    }
  } catch (error) {
    rmSync(workshop, { recursive: true, force: true })
    throw error
  }
  return { files, [Symbol.dispose]: () => rmSync(workshop, { recursive: true, force: true }) }
}

/** Pages with the headers of a segment, and content that every compression has work with. */
function segmentBytes(): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_BYTES)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < SEGMENT_BYTES; at += 4) view.setUint32(at, Math.imul(at >>> 5, 2_654_435_761), true)
  for (let page = 0; page < SEGMENT_BYTES; page += PAGE_BYTES) {
    const isFirst = page === 0
    view.setUint16(page, MAGIC, true)
    view.setUint16(page + 2, isFirst ? LONG_HEADER : 0, true)
    view.setUint32(page + 4, 1, true)
    view.setBigUint64(page + 8, BigInt(SEGMENT_BYTES + page), true)
    view.setBigUint64(page + 16, 0n, true)
    if (!isFirst) continue
    view.setBigUint64(24, 1n, true)
    view.setUint32(32, SEGMENT_BYTES, true)
    view.setUint32(36, PAGE_BYTES, true)
  }
  return bytes
}
