import { CRC32C_BEGIN, endCrc32c, updateCrc32c } from '../../src/postgres/crc32c.ts'

/** Writes WAL as PostgreSQL lays it out, for tests: pages, records that cross them, switches, cut records. */
export class WalBuilder {
  readonly segmentBytes: number
  readonly pageBytes: number
  readonly timeline: number
  readonly firstLsn: bigint
  readonly magic: number
  #bytes: Uint8Array<ArrayBuffer>
  #at: number
  #previousLsn = 0n
  /** Start and end of every whole record. */
  readonly records: { readonly startLsn: bigint; readonly endLsn: bigint }[] = []

  constructor(
    segment: bigint,
    options: { segmentBytes?: number; pageBytes?: number; timeline?: number; magic?: number } = {},
  ) {
    this.segmentBytes = options.segmentBytes ?? 1 << 20
    this.pageBytes = options.pageBytes ?? 8192
    this.timeline = options.timeline ?? 1
    this.magic = options.magic ?? 0xd110
    this.firstLsn = segment * BigInt(this.segmentBytes)
    this.#bytes = new Uint8Array(this.segmentBytes)
    this.#at = 0
    this.#beginPage(0, 0)
  }

  get lsn(): bigint {
    return this.firstLsn + BigInt(this.#at)
  }

  /** Adds a record with `body`; `isCut` writes its first page only, as a crash may leave it. */
  add(
    body: Uint8Array,
    { rmgr = 10, info = 0, isCut = false }: { rmgr?: number; info?: number; isCut?: boolean } = {},
  ): void {
    const record = new Uint8Array(24 + body.length)
    const view = new DataView(record.buffer)
    this.#alignToRecord()
    const startLsn = this.lsn
    view.setUint32(0, record.length, true)
    view.setUint32(4, 700, true)
    view.setBigUint64(8, this.#previousLsn, true)
    view.setUint8(16, info)
    view.setUint8(17, rmgr)
    record.set(body, 24)
    const crc = updateCrc32c(updateCrc32c(CRC32C_BEGIN, record, 24), record, 0, 20)
    view.setUint32(20, endCrc32c(crc), true)
    this.#copy(record, isCut)
    if (isCut) return
    this.#previousLsn = startLsn
    this.records.push({ startLsn, endLsn: this.lsn })
  }

  /** A switch record: the rest of the segment stays zero. */
  switchSegment(): void {
    this.add(new Uint8Array(0), { rmgr: 0, info: 0x40 })
    const rest = (this.segmentBytes - (this.#at % this.segmentBytes)) % this.segmentBytes
    this.#at += rest
    this.#beginPage(0, 0)
  }

  /** After a cut record: the next page says that what it continues is void. */
  overwriteContrecord(): void {
    this.#at = Math.ceil(this.#at / this.pageBytes) * this.pageBytes
    this.#beginPage(0x8, 0)
    this.add(new Uint8Array(16), { rmgr: 0, info: 0xd0 })
  }

  /** Everything up to the end of the last segment begun, zero-padded, by segment. */
  segments(): { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> }[] {
    const count = Math.ceil(this.#at / this.segmentBytes)
    const perId = 0x1_0000_0000n / BigInt(this.segmentBytes)
    return Array.from({ length: count }, (_, index) => {
      const number = this.firstLsn / BigInt(this.segmentBytes) + BigInt(index)
      const parts = [BigInt(this.timeline), number / perId, number % perId]
      const name = parts.map(part => part.toString(16).toUpperCase().padStart(8, '0')).join('')
      return { name, bytes: this.#bytes.slice(index * this.segmentBytes, (index + 1) * this.segmentBytes) }
    })
  }

  #alignToRecord(): void {
    this.#at = (this.#at + 7) & ~7
    if (this.#at % this.pageBytes === 0) this.#beginPage(0, 0)
  }

  #copy(record: Uint8Array, isCut: boolean): void {
    for (let done = 0; done < record.length; ) {
      if (this.#at % this.pageBytes === 0 && done > 0) {
        if (isCut) return
        this.#beginPage(0x1, record.length - done)
      }
      const room = this.pageBytes - (this.#at % this.pageBytes)
      const count = Math.min(room, record.length - done)
      this.#bytes.set(record.subarray(done, done + count), this.#at)
      this.#at += count
      done += count
    }
  }

  #beginPage(flags: number, remaining: number): void {
    if (this.#at + this.pageBytes > this.#bytes.length) {
      const grown = new Uint8Array(this.#bytes.length + this.segmentBytes)
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    const view = new DataView(this.#bytes.buffer, this.#at)
    const isFirst = this.#at % this.segmentBytes === 0
    view.setUint16(0, this.magic, true)
    view.setUint16(2, flags | (isFirst ? 0x2 : 0), true)
    view.setUint32(4, this.timeline, true)
    view.setBigUint64(8, this.lsn, true)
    view.setUint32(16, remaining, true)
    if (isFirst) {
      view.setBigUint64(24, 7_300_000_000_000_000_001n, true)
      view.setUint32(32, this.segmentBytes, true)
      view.setUint32(36, this.pageBytes, true)
    }
    this.#at += isFirst ? 40 : 24
  }
}

/** Flags of the record that pg_backup_stop writes. */
export const BACKUP_END: { readonly rmgr: number; readonly info: number } = { rmgr: 0, info: 0x50 }
export const CHECKPOINT_ONLINE: { readonly rmgr: number; readonly info: number } = { rmgr: 0, info: 0x10 }
export const CHECKPOINT_SHUTDOWN: { readonly rmgr: number; readonly info: number } = { rmgr: 0, info: 0x00 }

/** Of a backup that began at `startLsn`. */
export function backupEnd(startLsn: bigint): Uint8Array {
  const body = new Uint8Array(10)
  body.set([255, 8])
  new DataView(body.buffer).setBigUint64(2, startLsn, true)
  return body
}

/** `CheckPoint` of PostgreSQL 13 to 18. */
export function checkpointBody(redoLsn: bigint, timeSeconds: bigint): Uint8Array {
  const body = new Uint8Array(2 + 88)
  body.set([255, 88])
  const view = new DataView(body.buffer)
  view.setBigUint64(2, redoLsn, true)
  view.setBigInt64(2 + 64, timeSeconds, true)
  return body
}
