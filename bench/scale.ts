/**
 * Time and memory of the verbs that look at a whole repository: 1,000,000 WAL segments and 2,000 backups, listed and
 * read from a storage that makes them up as it is asked. Each verb in a process of its own.
 * Run: npx bun bench/scale.ts [segments] [backups]
 */
import { spawnSync } from 'node:child_process'
import { openCodec } from '../src/codec/open-codec.ts'
import { type ByteStream, streamOf } from '../src/kit/bytes.ts'
import { WalgError } from '../src/kit/errors.ts'
import { silentLogger } from '../src/kit/log.ts'
import { silentProgress } from '../src/kit/progress.ts'
import { deleteObjects } from '../src/operations/delete/delete.ts'
import { walShow } from '../src/operations/wal-show/wal-show.ts'
import { walVerify } from '../src/operations/wal-verify/wal-verify.ts'
import { toLsn } from '../src/postgres/lsn.ts'
import { toTimelineId } from '../src/postgres/wal-segment.ts'
import { toBackupName } from '../src/repository/backup-name.ts'
import type { Storage, StorageEntry } from '../src/storage/storage.ts'

const SEGMENT_BYTES = 16 << 20
const SEGMENTS_PER_XLOGID = 256
const BEGAN_MS = Date.UTC(2026, 0, 1)
const SEGMENT_MS = 30_000
const [segmentsText = '1000000', backupsText = '2000', verb] = process.argv.slice(2)
const segmentsCount = Number(segmentsText)
const backupsCount = Number(backupsText)
const segmentsPerBackup = Math.floor(segmentsCount / backupsCount)

function walName(number: number): string {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
  return `00000001${hex(Math.floor(number / SEGMENTS_PER_XLOGID))}${hex(number % SEGMENTS_PER_XLOGID)}`
}

const backupName = (index: number): string => `base_${walName(1 + index * segmentsPerBackup)}`
const modifiedNs = (segment: number): bigint => BigInt(BEGAN_MS + segment * SEGMENT_MS) * 1_000_000n

function* entries(prefix: string): Generator<StorageEntry> {
  const object = (key: string, segment: number): StorageEntry => ({
    kind: 'object',
    key,
    sizeBytes: 5_000_000,
    modifiedNs: modifiedNs(segment),
  })
  if ('basebackups_005'.startsWith(prefix) || prefix === 'basebackups_005') {
    for (let index = 0; index < backupsCount; index += 1) {
      const key = `basebackups_005/${backupName(index)}`
      const segment = index * segmentsPerBackup
      yield object(`${key}_backup_stop_sentinel.json`, segment)
      yield object(`${key}/metadata.json`, segment)
      yield object(`${key}/files_metadata.json`, segment)
      for (let part = 1; part <= 3; part += 1)
        yield object(`${key}/tar_partitions/part_00${part}.tar.lz4`, segment)
    }
  }
  if ('wal_005'.startsWith(prefix) || prefix === 'wal_005') {
    for (let number = 1; number <= segmentsCount; number += 1) {
      yield object(`wal_005/${walName(number)}.lz4`, number)
    }
  }
}

function sentinelText(name: string): string {
  const segment =
    1 +
    Number.parseInt(name.slice(13, 21), 16) * SEGMENTS_PER_XLOGID +
    Number.parseInt(name.slice(21, 29), 16)
  const lsn = BigInt(segment - 1) * BigInt(SEGMENT_BYTES) + 40n
  const time = new Date(BEGAN_MS + segment * SEGMENT_MS).toISOString()
  return `{"LSN":${lsn},"PgVersion":170010,"FinishLSN":${lsn + 400n},"SystemIdentifier":7710953987183117151,"UncompressedSize":1,"CompressedSize":1,"Version":2,"StartTime":"${time}","FinishTime":"${time}","DateFmt":"","Hostname":"h","DataDir":"/d","IsPermanent":false}`
}

function metadataText(name: string): string {
  const sentinel = JSON.parse(sentinelText(name)) as Record<string, string | number>
  const lsn = sentinelText(name).match(/"LSN":(\d+)/)![1]
  return `{"start_time":"${sentinel['StartTime']}","finish_time":"${sentinel['FinishTime']}","date_fmt":"","hostname":"h","data_dir":"/d","pg_version":170010,"start_lsn":${lsn},"finish_lsn":${lsn},"is_permanent":false,"system_identifier":1,"uncompressed_size":1,"compressed_size":1}`
}

const unused = (): never => {
  throw new Error('not asked for by these verbs')
}

const storage: Storage = {
  name: 'default',
  features: { ranges: false, conditionalPut: false, serverCopy: false, synchronous: false },
  checkRoot: async () => {},
  async *list(prefix, options) {
    for (const entry of entries(prefix)) {
      const isDirect = entry.key.slice(prefix.length + 1).indexOf('/') < 0
      if (options?.recursive === true || isDirect) yield entry
    }
  },
  stat: async key => {
    throw new WalgError('OBJECT_NOT_FOUND', key)
  },
  async get(key): Promise<ByteStream> {
    const name = /base_[0-9A-F]{24}/.exec(key)?.[0]
    if (name === undefined) throw new WalgError('OBJECT_NOT_FOUND', key)
    return streamOf(
      new TextEncoder().encode(key.endsWith('metadata.json') ? metadataText(name) : sentinelText(name)),
    )
  },
  put: unused,
  copy: unused,
  delete: async () => {},
  openSink: unused,
  openSource: unused,
  close: async () => {},
}

const context = {
  storage,
  codec: openCodec({ compression: 'lz4' }),
  log: silentLogger,
  progress: silentProgress,
  signal: new AbortController().signal,
}
const backups = Array.from({ length: backupsCount }, (_, index) => ({
  name: toBackupName(backupName(index)),
  isPermanent: false,
}))

const VERBS: Readonly<Record<string, () => Promise<unknown>>> = {
  'delete retain FULL 7': () => planDelete(false),
  'delete retain FULL 7 --confirm': () => planDelete(true),
  'wal-show': () => walShow(context, { segmentBytes: SEGMENT_BYTES, backups: [] } as never),
  'wal-verify integrity timeline': () =>
    walVerify(context, {
      checks: ['integrity', 'timeline'],
      timeline: toTimelineId(1),
      lsn: toLsn(BigInt(segmentsCount) * BigInt(SEGMENT_BYTES) + 100n),
      segmentBytes: SEGMENT_BYTES,
      backupName: null,
      backups,
      delayedMax: 0,
      uploadingMax: 16,
    }),
}

async function planDelete(isConfirmed: boolean): Promise<unknown> {
  return deleteObjects(context, {
    request: { kind: 'retain', modifier: 'FULL', count: 7, after: null },
    isConfirmed,
    segmentBytes: SEGMENT_BYTES,
    garbageMinAgeMs: 86_400_000,
    nowNs: modifiedNs(segmentsCount + 1),
    isStartTimeUsed: false,
  })
}

if (verb !== undefined) {
  const beganMs = performance.now()
  await VERBS[verb]!()
  const { user, system } = process.cpuUsage()
  const peakMib = Math.round(process.resourceUsage().maxRSS / 1024)
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
  console.log(
    `| ${verb} | ${seconds(performance.now() - beganMs)} | ${seconds((user + system) / 1000)} | ${peakMib} |`,
  )
} else {
  console.log(
    `${segmentsCount} segments, ${backupsCount} backups\n\n| verb | wall | CPU | peak MiB |\n| --- | ---: | ---: | ---: |`,
  )
  for (const name of Object.keys(VERBS)) {
    const args = [import.meta.filename, segmentsText, backupsText, name]
    if (spawnSync(process.execPath, args, { stdio: 'inherit' }).status !== 0) process.exitCode = 1
  }
}
