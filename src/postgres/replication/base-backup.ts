import { hasCode, WalgError } from '../../kit/errors.ts'
import { type Lsn, parseLsn } from '../lsn.ts'
import { type TimelineId, toTimelineId } from '../wal-segment.ts'
import type { ReplyEvent } from './copy-stream.ts'
import type { ReplicationSession, ServerNotice } from './replication-session.ts'

export interface RemoteTablespace {
  readonly oid: string
  readonly location: string
}

export interface BaseBackupOptions {
  readonly label: string
  readonly majorVersion: number
  /** The server verifies the checksum of every page it sends. */
  readonly isVerifying: boolean
  /** Bytes per second; undefined: no limit. */
  readonly bytesPerSecond: number | undefined
  /** Nothing from the server for so long, once it has begun to send, means that it hangs; 0: no limit. */
  readonly silenceMs: number
}

/** What a base backup over the replication protocol brings, whatever the version of the server. */
export type BaseBackupEvent =
  | {
      readonly kind: 'begin'
      readonly startLsn: Lsn
      readonly timeline: TimelineId
      readonly tablespaces: readonly RemoteTablespace[]
      /** The server's estimate; undefined when it gives none. */
      readonly totalBytes: number | undefined
    }
  /** The tar of a tablespace, or of the data directory itself (null). */
  | { readonly kind: 'archive'; readonly tablespace: string | null }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'end'; readonly stopLsn: Lsn; readonly timeline: TimelineId }
  /** Behind the end: page checksums were wrong in what the server has sent. */
  | { readonly kind: 'damaged' }

const RATE_KIB_MIN = 32
const RATE_KIB_MAX = 1_048_576
const DATA_CORRUPTED = 'XX001'
/** From here on one stream carries everything, each message with a letter in front. */
const MAJOR_OF_ONE_STREAM = 15

/**
 * Takes a base backup (protocol-replication of the PostgreSQL manual, BASE_BACKUP). Damaged pages do
 * not end it, although the server ends such a backup with an error after everything has been sent. Throws
 * CLUSTER_QUERY, CLUSTER_UNREACHABLE, TIMEOUT, FORMAT_INVALID for an answer that is no base backup, CANCELLED.
 */
export async function* readBaseBackup(
  session: ReplicationSession,
  options: BaseBackupOptions,
  onNotice: (notice: ServerNotice) => void,
): AsyncGenerator<BaseBackupEvent> {
  const reply = session.run(baseBackupCommand(options), { onNotice, silenceMs: options.silenceMs })
  const reader = new BaseBackupReader(options.majorVersion >= MAJOR_OF_ONE_STREAM)
  try {
    for await (const event of reply) yield* reader.take(event)
  } catch (error) {
    const isAllSent =
      reader.hasEnded && hasCode(error, 'CLUSTER_QUERY') && error.facts['sqlState'] === DATA_CORRUPTED
    if (!isAllSent) throw error
    yield { kind: 'damaged' }
  }
  if (!reader.hasEnded) throw unexpected('it ended before it said where the backup ends')
}

/** The command in the words of the server's version. */
export function baseBackupCommand(options: BaseBackupOptions): string {
  const { label, majorVersion, isVerifying, bytesPerSecond } = options
  const quoted = `'${label.replaceAll("'", "''")}'`
  const rate =
    bytesPerSecond === undefined
      ? undefined
      : Math.min(RATE_KIB_MAX, Math.max(RATE_KIB_MIN, Math.floor(bytesPerSecond / 1024)))
  if (majorVersion >= MAJOR_OF_ONE_STREAM) {
    const words = [
      `LABEL ${quoted}`,
      "CHECKPOINT 'fast'",
      'PROGRESS',
      'WAIT false',
      'TABLESPACE_MAP',
      ...(rate === undefined ? [] : [`MAX_RATE ${rate}`]),
      ...(isVerifying ? [] : ['VERIFY_CHECKSUMS false']),
    ]
    return `BASE_BACKUP ( ${words.join(', ')} )`
  }
  const words = [
    `LABEL ${quoted}`,
    'PROGRESS',
    'FAST',
    'NOWAIT',
    ...(rate === undefined ? [] : [`MAX_RATE ${rate}`]),
    'TABLESPACE_MAP',
    ...(isVerifying ? [] : ['NOVERIFY_CHECKSUMS']),
  ]
  return `BASE_BACKUP ${words.join(' ')}`
}

type Stage = 'start' | 'tablespaces' | 'copies' | 'stop' | 'ended'

/** Brings the two forms of the answer, one stream or one for each tablespace, into one. */
class BaseBackupReader {
  readonly #isOneStream: boolean
  #stage: Stage = 'start'
  #rows: (readonly (string | null)[])[] = []
  #start: readonly (string | null)[] | undefined
  #tablespaces: readonly (readonly (string | null)[])[] = []
  #copies = 0
  /** Of one stream: what the data belong to. */
  #receiving: 'archive' | 'manifest' | 'nothing' = 'nothing'

  constructor(isOneStream: boolean) {
    this.#isOneStream = isOneStream
  }

  get hasEnded(): boolean {
    return this.#stage === 'ended'
  }

  *take(event: ReplyEvent): Generator<BaseBackupEvent> {
    if (event.kind === 'row') this.#rows.push(event.values)
    else if (event.kind === 'row end') yield* this.#endRows()
    else if (event.kind === 'copy begin') yield* this.#beginCopy()
    else if (event.kind === 'data') yield* this.#takeData(event.bytes)
    else if (this.#isOneStream || this.#copies === this.#tablespaces.length) this.#stage = 'stop'
  }

  *#endRows(): Generator<BaseBackupEvent> {
    const rows = this.#rows
    this.#rows = []
    if (this.#stage === 'start' && rows.length > 0) {
      this.#start = rows[0]
      this.#stage = 'tablespaces'
    } else if (this.#stage === 'tablespaces' && rows.length > 0) {
      this.#tablespaces = rows
      this.#stage = 'copies'
      yield this.#begin()
    } else if (this.#stage === 'stop' && rows.length > 0) {
      this.#stage = 'ended'
      yield { kind: 'end', ...positionOf(rows[0]) }
    }
  }

  #begin(): BaseBackupEvent {
    const { lsn, timeline } = {
      lsn: positionOf(this.#start).stopLsn,
      timeline: positionOf(this.#start).timeline,
    }
    const own = this.#tablespaces.filter(([oid]) => oid !== null)
    const sizes = this.#tablespaces.map(([, , kib]) => (kib == null ? Number.NaN : Number(kib) * 1024))
    const totalBytes = sizes.reduce((sum, size) => sum + size, 0)
    return {
      kind: 'begin',
      startLsn: lsn,
      timeline,
      tablespaces: own.map(([oid, location]) => ({ oid: oid!, location: location ?? '' })),
      totalBytes: Number.isFinite(totalBytes) ? totalBytes : undefined,
    }
  }

  *#beginCopy(): Generator<BaseBackupEvent> {
    // old servers end no row set in between: what came before the first copy are the tablespaces
    if (this.#stage !== 'copies') throw unexpected('data came before the list of tablespaces')
    if (this.#isOneStream) return
    const row = this.#tablespaces[this.#copies]
    if (row === undefined) throw unexpected('it has more archives than tablespaces')
    this.#copies += 1
    this.#receiving = 'archive'
    yield { kind: 'archive', tablespace: row[0] ?? null }
  }

  *#takeData(bytes: Uint8Array): Generator<BaseBackupEvent> {
    if (!this.#isOneStream) {
      yield { kind: 'data', bytes }
      return
    }
    switch (String.fromCharCode(bytes[0] ?? 0)) {
      case 'n': {
        const [archive = ''] = new TextDecoder().decode(bytes.subarray(1)).split('\0')
        const oid = /^(\d+)\.tar$/.exec(archive)?.[1] ?? null
        if (oid === null && archive !== 'base.tar') throw unexpected(`it has an archive "${archive}"`)
        this.#receiving = 'archive'
        yield { kind: 'archive', tablespace: oid }
        return
      }
      case 'm':
        this.#receiving = 'manifest'
        return
      case 'd':
        if (this.#receiving === 'nothing') throw unexpected('data came before the name of their archive')
        if (this.#receiving === 'archive') yield { kind: 'data', bytes: bytes.subarray(1) }
        return
      case 'p':
        return
      default:
        throw unexpected(`it has a message of the kind ${bytes[0]}`)
    }
  }
}

function positionOf(row: readonly (string | null)[] | undefined): { stopLsn: Lsn; timeline: TimelineId } {
  const [lsn, timeline] = row ?? []
  if (lsn == null || timeline == null) throw unexpected('it does not say where the backup begins or ends')
  return { stopLsn: parseLsn(lsn), timeline: toTimelineId(Number(timeline)) }
}

function unexpected(what: string): WalgError {
  return new WalgError('FORMAT_INVALID', `the answer to BASE_BACKUP cannot be understood: ${what}`, {
    hint: 'is this a PostgreSQL of 13 to 18, and no proxy that changes what it says?',
  })
}
