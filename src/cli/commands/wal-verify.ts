import { openCodec } from '../../codec/open-codec.ts'
import { hasCode } from '../../kit/errors.ts'
import { type JsonValue, writeJson } from '../../kit/json.ts'
import { silentLogger } from '../../kit/log.ts'
import { MIB } from '../../kit/sizes.ts'
import { backupList } from '../../operations/backup-list/backup-list.ts'
import type { IntegrityResult, WalCheck, WalVerifyResult } from '../../operations/wal-verify/wal-verify.ts'
import { walVerify } from '../../operations/wal-verify/wal-verify.ts'
import { type Lsn, parseLsn } from '../../postgres/lsn.ts'
import { formatSegmentName, segmentOfLsn, type TimelineId, toTimelineId } from '../../postgres/wal-segment.ts'
import { usage } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { connectionOf } from '../connection.ts'
import { EXIT_CHECK_FAILURE, EXIT_CHECK_WARNING, EXIT_SUCCESS } from '../exit-code.ts'
import { formatAlignedBox } from '../render/aligned-box.ts'

const CHECKS: readonly WalCheck[] = ['timeline', 'integrity']

export const command: CommandDefinition = {
  name: 'wal-verify',
  usage: 'wal-verify',
  summary: 'Verify WAL storage folder. Available checks: integrity, timeline.',
  positionals: { kind: 'range', min: 0, max: 100 },
  flags: [
    { name: 'backup-name', type: 'string', doc: 'Verify WAL starting from the specified backup.' },
    { name: 'exit-code', type: 'boolean', doc: 'Status 3 for WARNING, 4 for FAILURE, instead of always 0.' },
    { name: 'json', type: 'boolean', doc: 'Show output in JSON format.' },
    {
      name: 'lsn',
      type: 'string',
      doc: 'Verify WAL for the specified lsn. Works only in conjunction with the "--timeline" flag.',
    },
    {
      name: 'timeline',
      type: 'uint32',
      doc: 'Verify WAL for the specified timeline. Works only in conjunction with the "--lsn" flag.',
    },
  ],
  needsStorage: true,
  opensPayloads: true,
  check: given => {
    readChecks(given.positionals)
    readPosition(given)
  },
  async run(invocation: Invocation): Promise<number> {
    const { log, signal, flags, settings, positionals } = invocation
    const segmentBytes = settings.WALG_PG_WAL_SIZE * MIB
    const position = readPosition(invocation) ?? (await currentPosition(invocation, segmentBytes))
    const storage = await invocation.openStorage()
    try {
      const quiet = { ...silentLogger, warning: log.warning, error: log.error }
      const backups = await backupList({ storage, log: quiet, signal }, { detail: true })
      const backupName = flags['backup-name']
      const result = await walVerify(
        { storage, codec: openCodec(invocation.codecDescription), log, signal },
        {
          ...position,
          checks: readChecks(positionals),
          segmentBytes,
          backupName: typeof backupName === 'string' && backupName !== '' ? backupName : null,
          backups: backups
            .filter(({ backupType }) => backupType !== 'broken')
            .map(({ entry, detail }) => ({ name: entry.name, isPermanent: detail?.isPermanent === true })),
          delayedMax: settings.WALG_INTEGRITY_MAX_DELAYED_WALS,
          uploadingMax: settings.WALG_UPLOAD_CONCURRENCY,
        },
      )
      await invocation.print(flags['json'] === true ? renderJson(result) : renderText(result))
      return flags['exit-code'] === true || settings.WALG_VERIFY_EXIT_CODE ? exitCodeOf(result) : EXIT_SUCCESS
    } finally {
      await storage.close()
    }
  },
}

/** Each check once; integrity first. */
function readChecks(words: readonly string[]): WalCheck[] {
  if (words.length === 0) {
    throw usage(`at least one of the following checks should be specified: ${CHECKS.join(', ')}`)
  }
  const unknown = words.find(word => !CHECKS.some(check => check === word))
  if (unknown !== undefined) throw usage(`invalid check specified: ${unknown}`)
  return CHECKS.filter(check => words.includes(check)).toReversed()
}

function readPosition({
  flags,
}: Pick<Invocation, 'flags'>): { readonly lsn: Lsn; readonly timeline: TimelineId } | undefined {
  const { lsn, timeline } = flags
  if (lsn === undefined && timeline === undefined) return undefined
  if (lsn === undefined) throw usage('"--timeline" flag works only in conjunction with the "--lsn" flag')
  if (timeline === undefined) throw usage('"--lsn" flag works only in conjunction with the "--timeline" flag')
  try {
    return { lsn: parseLsn(String(lsn)), timeline: toTimelineId(Number(timeline)) }
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
    throw usage(error.message)
  }
}

async function currentPosition(
  { settings, log, signal }: Invocation,
  segmentBytes: number,
): Promise<{ readonly lsn: Lsn; readonly timeline: TimelineId }> {
  const { readCurrentPosition } = await import('../../operations/wal-verify/current-position.ts')
  const { lsn, timeline } = await readCurrentPosition(connectionOf(settings), { log, signal })
  const segment = segmentOfLsn(timeline, (lsn > 0n ? lsn - 1n : lsn) as Lsn, segmentBytes)
  log.info(`Current WAL segment: ${formatSegmentName(segment, segmentBytes)}`)
  return { lsn, timeline }
}

function exitCodeOf({ integrity, timeline }: WalVerifyResult): number {
  const statuses = [integrity?.status, timeline?.status]
  if (statuses.includes('FAILURE')) return EXIT_CHECK_FAILURE
  return statuses.includes('WARNING') ? EXIT_CHECK_WARNING : EXIT_SUCCESS
}

function renderText({ integrity, timeline }: WalVerifyResult): string {
  const head = (check: WalCheck, status: string): string =>
    `[wal-verify] ${check} check status: ${status}\n[wal-verify] ${check} check details:\n`
  let text = ''
  if (integrity !== undefined) text += head('integrity', integrity.status) + integrityTable(integrity)
  if (timeline !== undefined) {
    text += head('timeline', timeline.status)
    text += `Highest timeline found in storage: ${timeline.highest}\nCurrent cluster timeline: ${timeline.current}\n`
  }
  return text
}

function integrityTable({ runs }: IntegrityResult): string {
  const columns = [
    { title: 'TLI', isRight: true },
    { title: 'START' },
    { title: 'END' },
    { title: 'SEGMENTS COUNT', isRight: true },
    { title: 'STATUS', isRight: true },
  ]
  const rows = (runs ?? []).map(run => [
    String(run.timeline),
    run.startSegment,
    run.endSegment,
    String(run.segmentsCount),
    run.status,
  ])
  return formatAlignedBox(columns, rows)
}

function renderJson({ integrity, timeline }: WalVerifyResult): string {
  const runs = integrity?.runs?.map(
    (run): JsonValue => ({
      timeline_id: run.timeline,
      start_segment: run.startSegment,
      end_segment: run.endSegment,
      segments_count: run.segmentsCount,
      status: run.status,
    }),
  )
  return writeJson({
    integrity: integrity === undefined ? undefined : { status: integrity.status, details: runs ?? null },
    timeline:
      timeline === undefined
        ? undefined
        : {
            status: timeline.status,
            details: { current_timeline_id: timeline.current, highest_storage_timeline_id: timeline.highest },
          },
  })
}
