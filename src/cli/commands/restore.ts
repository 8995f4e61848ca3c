import path from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { WalgError } from '../../kit/errors.ts'
import { type JsonValue, writeJson } from '../../kit/json.ts'
import { MIB } from '../../kit/sizes.ts'
import type { OperationContext } from '../../operations/context.ts'
import type { RestoreOptions, StartOptions } from '../../operations/restore/options.ts'
import {
  proveRestore,
  type RestoreProof,
  type RestoreResult,
  restore,
} from '../../operations/restore/restore.ts'
import { prepareStart, type StartedServer, startRestored } from '../../operations/restore/start-server.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { formatTimeTarget } from '../../postgres/recovery-target.ts'
import { effectiveUserName } from '../../postgres/server/user-database.ts'
import { parseTablespaceMappings } from '../../repository/tablespace-spec.ts'
import { TABLESPACE_MAPPING_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { planFetchCommand } from '../configuration/kept-settings.ts'
import { connectionOf } from '../connection.ts'
import { fetchFilesBy } from '../fetch-files.ts'
import { readDuration, readPort, readRecoveryChoice, TARGET_FLAGS } from '../recovery-arguments.ts'
import { runAsUser, USER_FLAG } from '../run-as-user.ts'
import { searchPath } from '../search-path.ts'

const WAIT_MS_DEFAULT = 3_600_000

interface Done {
  readonly proof: RestoreProof
  /** Undefined for a dry run. */
  readonly result?: RestoreResult
  readonly started?: StartedServer
}

export const command: CommandDefinition = {
  name: 'restore',
  usage: 'restore destination_directory',
  summary: 'Restores a cluster to a point in time: backup, WAL and recovery settings in one step',
  positionals: { kind: 'exact', count: 1 },
  flags: [
    ...TARGET_FLAGS,
    { name: 'dry-run', type: 'boolean', doc: 'Only proves that the restore is possible' },
    {
      name: 'into-existing',
      type: 'boolean',
      doc: 'Restores over a data directory: files whose hash already matches stay as they are',
    },
    { name: 'json', type: 'boolean', doc: 'Prints what was done as JSON' },
    { name: 'no-archive', type: 'boolean', doc: 'Switches archive_mode off in the restored server' },
    {
      name: 'pause',
      type: 'boolean',
      doc: 'Pauses at the target, to look first (the default with a target)',
    },
    { name: 'port', type: 'string', doc: 'With --start: port of the restored server' },
    { name: 'promote', type: 'boolean', doc: 'Promotes the server at the target' },
    {
      name: 'settings-file',
      type: 'string',
      doc: 'Where settings for restore_command are kept when no config file has them all (default is DIR.wal-g.json)',
    },
    { name: 'shutdown', type: 'boolean', doc: 'Shuts the server down at the target' },
    { name: 'start', type: 'boolean', doc: 'Starts the server and waits until it is at the target' },
    TABLESPACE_MAPPING_FLAG,
    USER_FLAG,
    { name: 'wait', type: 'string', doc: 'With --start: longest wait for the end of recovery (default 1h)' },
  ],
  needsStorage: true,
  opensPayloads: true,
  examples: `  restore /data --latest                                      everything that is archived
  restore /data --to-time "2026-11-22 14:28:09+00" --promote    the moment before the accident
  restore /data --to-name before_migration --start --no-archive   a copy, started, that archives nothing`,
  async run(invocation: Invocation): Promise<number> {
    const asUser = await runAsUser(invocation, 'restore')
    if (asUser !== undefined) return asUser
    const options = readOptions(invocation)
    const storage = await invocation.openStorage()
    try {
      const context = { ...invocation, storage, codec: openCodec(invocation.codecDescription) }
      const done = await restoreAndStart(context, options, invocation)
      if (invocation.flags['json'] === true) await invocation.print(`${render(options, done)}\n`)
      return 0
    } finally {
      await storage.close()
    }
  },
}

/** The programs are looked for before the first byte is fetched. */
async function restoreAndStart(
  context: OperationContext,
  options: RestoreOptions,
  invocation: Invocation,
): Promise<Done> {
  const { flags, settings, log } = invocation
  const start = flags['start'] === true ? readStart(invocation) : undefined
  const proof = await proveRestore(context, options)
  if (flags['dry-run'] === true) return { proof }
  const programs = start === undefined ? undefined : await prepareStart(proof.majorVersion, start)
  const result = await restore(context, options, proof, fetchFilesBy(context, settings))
  if (start === undefined || programs === undefined) {
    log.info(`Restored into "${result.root}". Start it: pg_ctl -D ${result.root} start`)
    return { proof, result }
  }
  return { proof, result, started: await startRestored(context, result, options, start, programs) }
}

function readOptions(invocation: Invocation): RestoreOptions {
  const { flags, settings, positionals } = invocation
  const destination = path.resolve(positionals[0]!)
  if (flags['start'] === true && flags['dry-run'] === true) {
    throw new WalgError('USAGE', '--start and --dry-run contradict each other')
  }
  const keptPath = path.resolve(String(flags['settings-file'] ?? `${destination}.wal-g.json`))
  if (keptPath.startsWith(`${destination}/`)) {
    throw new WalgError('USAGE', `--settings-file "${keptPath}" lies within the data directory`, {
      hint: 'it may hold keys, and would be part of the next backup: name a place outside',
    })
  }
  const { command: restoreCommand, kept } = planFetchCommand(invocation, keptPath, 'guarded')
  return {
    ...readRecoveryChoice(flags),
    destination,
    isIntoExisting: flags['into-existing'] === true,
    tablespaceMapping: parseTablespaceMappings(flags['tablespace-mapping'] as readonly string[] | undefined),
    restoreCommand,
    keptSettings: kept,
    isArchivingOff: flags['no-archive'] === true,
    segmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
  }
}

function readStart({ flags, settings }: Invocation): StartOptions {
  return {
    binDirectory: settings.WALG_PG_BIN_DIR,
    searchPath: searchPath(),
    port: readPort(flags['port']),
    timeoutMs: readDuration(flags, 'wait', WAIT_MS_DEFAULT),
    connection: connectionOf(settings),
    userName: effectiveUserName(),
  }
}

function render({ destination }: RestoreOptions, { proof, result, started }: Done): string {
  const { candidate, target, timeline, stop, firstSegment, lastSegment, segmentsCount } = proof.plan
  const document: JsonValue = {
    directory: result?.root ?? destination,
    restored: result !== undefined,
    backup: candidate.entry.name,
    backup_finish_lsn: formatLsn(candidate.finishLsn),
    backup_finish_time: formatTimeTarget(candidate.finishedNs / 1000n),
    target: target.kind,
    timeline,
    first_segment: firstSegment,
    last_segment: lastSegment,
    segments: segmentsCount,
    stop_lsn: stop === undefined ? null : formatLsn(stop.lsn),
    stop_time: stop?.timeUs === undefined ? null : formatTimeTarget(stop.timeUs),
    archiving: result?.configuration.isArchiving ?? null,
    server:
      started === undefined
        ? null
        : {
            pid: started.pid ?? null,
            state: started.end,
            address: started.address,
            log: started.logFile,
          },
  }
  return writeJson(document)
}
