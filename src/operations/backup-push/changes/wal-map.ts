import { ChangeMap } from '../../../delta/map/change-map.ts'
import { decodeDeltaObject } from '../../../delta/map/delta-object.ts'
import { WalChangeReader } from '../../../delta/map/wal-changes.ts'
import { concatBytes } from '../../../kit/bytes.ts'
import { hasCode, isDamage } from '../../../kit/errors.ts'
import { createLinearMemory } from '../../../kit/linear-memory.ts'
import { type Crc32cEngine, openCrc32c } from '../../../postgres/crc32c-engine.ts'
import { formatLsn, type Lsn } from '../../../postgres/lsn.ts'
import { decodeSegmentHeader } from '../../../postgres/wal/wal-page.ts'
import { parseSegmentName, segmentStartLsn } from '../../../postgres/wal-segment.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { readPayload } from '../../../repository/sealed.ts'
import type { OperationContext } from '../../context.ts'
import { type SegmentBytes, SegmentFinder } from './segment-pages.ts'
import { type SegmentGroup, segmentGroups, type WalRange } from './wal-range.ts'

export interface WalMapRequest {
  readonly range: WalRange
  readonly systemIdentifier: bigint
  readonly segmentBytes: number
  /** Of WAL. */
  readonly pageBytes: number
  /** The server's `pg_wal`. */
  readonly walDirectory: string
  /** More WAL than this is not fetched from the archive: reading the data itself costs less. */
  readonly archiveBytesMax: number
}

/** A map, or why there is none. */
export type WalMapResult = { readonly map: ChangeMap; readonly told: string } | MapFailure

export interface MapFailure {
  readonly map: undefined
  readonly reason: string
  /** What should have told is damaged: a person should know, even when nobody has asked for this way. */
  readonly isDamage?: boolean
}

/** Of a `_delta` object in memory. */
const DELTA_BYTES_MAX = 1 << 29
/** How often reading begins again because a file of `pg_wal` was taken for the next segment meanwhile. */
const ROUNDS_MAX = 8

/**
 * Builds the map of a range: from `_delta` objects where they are, else from segments, of `pg_wal` or of the archive. Whatever is
 * missing, damaged or not understood is a reason, not an error; a storage that fails is.
 */
export async function readWalMap(context: OperationContext, request: WalMapRequest): Promise<WalMapResult> {
  const memory = createLinearMemory()
  const finder = new SegmentFinder(context, request.walDirectory, request.segmentBytes, memory)
  const engine = openCrc32c(memory)
  for (let round = 1; ; round++) {
    const building = new WalMapBuilding(context, request, finder, engine)
    const reason = await building.run()
    if (reason === undefined) return { map: building.map, told: building.told }
    if (building.unsteady === undefined || round === ROUNDS_MAX) return { map: undefined, reason }
    finder.distrust(building.unsteady)
  }
}

class WalMapBuilding {
  readonly map: ChangeMap = new ChangeMap()
  /** A local file that did not hold what its name says. */
  unsteady: string | undefined
  readonly #context: OperationContext
  readonly #request: WalMapRequest
  readonly #finder: SegmentFinder
  readonly #engine: Crc32cEngine
  #reader: WalChangeReader | undefined
  /** After a `_delta` object: the record that goes on in the next segment. */
  #seed: Uint8Array | undefined
  #deltasCount = 0
  #localCount = 0
  #archivedCount = 0

  constructor(
    context: OperationContext,
    request: WalMapRequest,
    finder: SegmentFinder,
    engine: Crc32cEngine,
  ) {
    this.#context = context
    this.#request = request
    this.#finder = finder
    this.#engine = engine
  }

  get told(): string {
    return `${this.#deltasCount} _delta objects, ${this.#archivedCount} archived segments, ${this.#localCount} segments of pg_wal`
  }

  /** Returns why there is no map. */
  async run(): Promise<string | undefined> {
    const { range, segmentBytes } = this.#request
    for (const group of segmentGroups(range, segmentBytes)) {
      if (await this.#takeDelta(group)) continue
      for (const name of group.names) {
        const reason = await this.#takeSegment(name)
        if (reason !== undefined) return reason
      }
    }
    return this.#finish()
  }

  async #takeDelta(group: SegmentGroup): Promise<boolean> {
    if (group.beginLsn === undefined) return false
    const { storage, codec, signal, log } = this.#context
    const name = `${group.deltaName}_delta`
    try {
      const bytes = await readPayload(storage, codec, `${WAL_PREFIX}/${name}`, DELTA_BYTES_MAX, {
        signal,
        firstExtension: codec.extension,
      })
      const { map, pendingBytes, range } = decodeDeltaObject(bytes, name)
      if (range === undefined) {
        log.info(
          `${name} was recorded by another WAL-G and does not tell of truncations: its segments are read`,
        )
        return false
      }
      const place = parseSegmentName(group.deltaName, this.#request.segmentBytes)
      const isSame =
        range.systemIdentifier === this.#request.systemIdentifier &&
        range.beginLsn === group.beginLsn &&
        range.timeline === place.timeline
      if (!isSame) {
        log.warning(`${name} is of another cluster or place: its segments are read`)
        return false
      }
      const reason = this.#closeRun()
      if (reason !== undefined) return false
      this.map.merge(map)
      this.#seed = new Uint8Array(pendingBytes)
      this.#deltasCount++
      return true
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return false
      if (!isDamage(error)) throw error
      log.warning(`${name} cannot be used: ${error.message}; its segments are read`)
      return false
    }
  }

  async #takeSegment(name: string): Promise<string | undefined> {
    const { segmentBytes, archiveBytesMax } = this.#request
    const opened = await this.#finder.open(name)
    if (opened === undefined) return `WAL segment ${name} is neither in pg_wal nor in the archive`
    await using segment = opened
    if (segment.isLocal) this.#localCount++
    else this.#archivedCount++
    if (this.#archivedCount * segmentBytes > archiveBytesMax) {
      return `it takes more archived WAL than there is data: over ${this.#archivedCount - 1} segments`
    }
    const reason = await this.#readSegment(name, segment)
    if (reason !== undefined && segment.isLocal) this.unsteady = name
    return reason
  }

  /** Returns what keeps the segment from being read up to its end, or up to that of the range. */
  async #readSegment(name: string, segment: SegmentBytes): Promise<string | undefined> {
    const { segmentBytes, pageBytes } = this.#request
    let takenBytes = 0
    try {
      for await (const bytes of wholePages(segment.chunks(), pageBytes)) {
        this.#reader ??= this.#beginRun(name, bytes)
        if (this.#reader === undefined) return `WAL segment ${name} does not begin like one of this cluster`
        for (let at = 0; at < bytes.length; at += pageBytes) {
          this.#reader.readPage(bytes.subarray(at, at + pageBytes))
          if (this.#isAtEnd()) return undefined
          const reason = this.#reader.trouble ?? this.#seamTrouble(name)
          if (reason !== undefined) return reason
        }
        takenBytes += bytes.length
      }
    } catch (error) {
      if (segment.isLocal || !isDamage(error)) throw error
      return error.message
    }
    return takenBytes === segmentBytes ? undefined : `WAL segment ${name} is cut short`
  }

  /** A reader for consecutive segments that begin with this one. */
  #beginRun(name: string, bytes: Uint8Array): WalChangeReader | undefined {
    const { segmentBytes, pageBytes, systemIdentifier, range } = this.#request
    const segment = decodeSegmentHeader(new DataView(bytes.buffer, bytes.byteOffset), 0)
    const isOurs =
      segment?.systemIdentifier === systemIdentifier &&
      segment.segmentBytes === segmentBytes &&
      segment.walPageBytes === pageBytes
    if (!isOurs) return undefined
    return new WalChangeReader({
      segment,
      firstLsn: segmentStartLsn(parseSegmentName(name, segmentBytes), segmentBytes),
      // the run may go on into later timelines
      timeline: range.timeline,
      engine: this.#engine,
      ...(this.#seed === undefined ? {} : { pendingBytes: this.#seed }),
    })
  }

  /** A `_delta` object without a pending record says that none goes on behind it. */
  #seamTrouble(name: string): string | undefined {
    const opening = this.#reader?.records.opening
    if (this.#seed?.length !== 0 || opening === 'none' || opening === 'void') return undefined
    return `the record that begins before ${name} is not known`
  }

  /** True when the first record at or behind the end of the range was seen: everything before it was. */
  #isAtEnd(): boolean {
    const startLsn: Lsn | undefined = this.#reader?.records.lastStartLsn
    return startLsn !== undefined && startLsn >= this.#request.range.endLsn
  }

  /** What the reader of consecutive segments has found goes into the map. */
  #closeRun(): string | undefined {
    if (this.#reader !== undefined) {
      if (this.#reader.trouble !== undefined && !this.#isAtEnd()) return this.#reader.trouble
      this.map.merge(this.#reader.map)
    }
    this.#reader = undefined
    this.#seed = undefined
    return undefined
  }

  #finish(): string | undefined {
    const { endLsn } = this.#request.range
    if (!this.#isAtEnd()) return `the WAL that was found does not reach ${formatLsn(endLsn)}`
    return this.#closeRun() ?? this.map.doubtReason
  }
}

/** The same bytes in pieces that are whole pages; what is left at the end is dropped. */
async function* wholePages(
  chunks: AsyncGenerator<Uint8Array>,
  pageBytes: number,
): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(0)
  for await (const chunk of chunks) {
    const bytes = held.length === 0 ? chunk : concatBytes([held, chunk])
    const usedBytes = bytes.length - (bytes.length % pageBytes)
    if (usedBytes > 0) yield bytes.subarray(0, usedBytes)
    held = new Uint8Array(bytes.subarray(usedBytes))
  }
}
