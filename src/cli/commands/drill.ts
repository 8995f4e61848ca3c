import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { fromSystemError } from '../../kit/errors.ts'
import { type JsonValue, writeJson } from '../../kit/json.ts'
import { formatDurationMs, MIB } from '../../kit/sizes.ts'
import type { OperationContext } from '../../operations/context.ts'
import { markScratch, removeAbandoned, SCRATCH_PREFIX } from '../../operations/drill/abandoned-scratch.ts'
import { type DrillReport, drill } from '../../operations/drill/drill.ts'
import type { DrillOptions, DrillSteps } from '../../operations/drill/options.ts'
import { proveRestore, restore } from '../../operations/restore/restore.ts'
import { formatTimeTarget } from '../../postgres/recovery-target.ts'
import { findServerPrograms } from '../../postgres/server/programs.ts'
import { effectiveUserName } from '../../postgres/server/user-database.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { type FetchCommand, planFetchCommand } from '../configuration/kept-settings.ts'
import { EXIT_CHECK_FAILURE, EXIT_SUCCESS } from '../exit-code.ts'
import { fetchFilesBy } from '../fetch-files.ts'
import { readDuration, readRecoveryChoice, TARGET_FLAGS } from '../recovery-arguments.ts'
import { runAsUser, USER_FLAG } from '../run-as-user.ts'
import { searchPath } from '../search-path.ts'

const RECOVERY_MS_MAX_DEFAULT = 6 * 3_600_000
const STATEMENT_MS_MAX_DEFAULT = 3_600_000

export const command: CommandDefinition = {
  name: 'drill',
  usage: 'drill',
  summary: 'Proves a backup: restores it, recovers, checks every database, and takes it all away again',
  positionals: { kind: 'none' },
  flags: [
    ...TARGET_FLAGS,
    { name: 'database', type: 'string', doc: 'Database for --sql (default postgres)' },
    { name: 'json', type: 'boolean', doc: 'Prints the report as JSON' },
    { name: 'keep', type: 'boolean', doc: 'Leaves the restored directory; the server is stopped' },
    { name: 'preload', type: 'string', doc: 'shared_preload_libraries, where recovery itself needs some' },
    { name: 'role', type: 'string', doc: 'A superuser of the cluster (default: found out)' },
    { name: 'scratch', type: 'string', doc: 'Where the restored directory is put (default is $TMPDIR)' },
    { name: 'sql', type: 'string', doc: 'File of statements to run at the end: an error fails the drill' },
    { name: 'statement-timeout', type: 'string', doc: 'Longest check of one relation (default 1h)' },
    USER_FLAG,
    { name: 'wait', type: 'string', doc: 'Longest wait for the end of recovery (default 6h)' },
  ],
  needsStorage: true,
  opensPayloads: true,
  examples: `  drill --json                                          the newest backup and all WAL behind it
  drill --to-time "2026-11-22 14:28:09+00" --sql check.sql   a moment, and questions of your own`,
  async run(invocation: Invocation): Promise<number> {
    const asUser = await runAsUser(invocation, 'drill')
    if (asUser !== undefined) return asUser
    const { flags } = invocation
    const sql = readSql(flags)
    const scratch = await makeScratch(flags, invocation.log)
    try {
      return await drillIn(scratch, sql, invocation)
    } finally {
      // what failed before there was anything in it
      if (flags['keep'] !== true) fs.rmSync(scratch, { recursive: true, force: true })
    }
  },
}

async function drillIn(scratch: string, sql: DrillOptions['sql'], invocation: Invocation): Promise<number> {
  const fetchCommand = planFetchCommand(invocation, path.join(scratch, 'wal-g.json'), 'in-place')
  const options = readOptions(invocation, scratch, fetchCommand, sql)
  const storage = await invocation.openStorage()
  try {
    const context = { ...invocation, storage, codec: openCodec(invocation.codecDescription) }
    const report = await drill(context, options, stepsBy(context, invocation, options, fetchCommand))
    await invocation.print(invocation.flags['json'] === true ? `${renderJson(report)}\n` : renderText(report))
    return report.findings.length === 0 ? EXIT_SUCCESS : EXIT_CHECK_FAILURE
  } finally {
    await storage.close()
  }
}

function readSql(flags: Invocation['flags']): DrillOptions['sql'] {
  if (flags['sql'] === undefined) return null
  const file = String(flags['sql'])
  try {
    return { text: fs.readFileSync(file, 'utf8'), database: String(flags['database'] ?? 'postgres') }
  } catch (error) {
    throw fromSystemError(error, 'read', file)
  }
}

async function makeScratch(flags: Invocation['flags'], log: Invocation['log']): Promise<string> {
  const given = path.resolve(String(flags['scratch'] ?? os.tmpdir()))
  let scratch: string
  try {
    const parent = fs.realpathSync(given)
    await removeAbandoned(parent, log)
    scratch = fs.mkdtempSync(path.join(parent, SCRATCH_PREFIX))
  } catch (error) {
    throw fromSystemError(error, 'create a directory in', given)
  }
  if (flags['keep'] !== true) markScratch(scratch)
  return scratch
}

function readOptions(
  { flags, settings }: Invocation,
  scratch: string,
  { command: restoreCommand }: FetchCommand,
  sql: DrillOptions['sql'],
): DrillOptions {
  const { target, timeline } = readRecoveryChoice(flags)
  const own = effectiveUserName()
  const roles = [flags['role'], 'postgres', own, settings.PGUSER].flatMap(role =>
    role === undefined ? [] : [String(role)],
  )
  return {
    scratch,
    isKept: flags['keep'] === true,
    target,
    timeline,
    restoreCommand,
    preloadLibraries: String(flags['preload'] ?? ''),
    recoveryMsMax: readDuration(flags, 'wait', RECOVERY_MS_MAX_DEFAULT),
    statementMsMax: readDuration(flags, 'statement-timeout', STATEMENT_MS_MAX_DEFAULT),
    roles,
    sql,
  }
}

/** `restore`, for a directory that archives nothing and that nobody will miss. */
function stepsBy(
  context: OperationContext,
  { flags, settings }: Invocation,
  options: DrillOptions,
  fetchCommand: FetchCommand,
): DrillSteps {
  const request = {
    ...readRecoveryChoice(flags),
    action: 'promote',
    isIntoExisting: false,
    restoreCommand: options.restoreCommand,
    keptSettings: fetchCommand.kept,
    isArchivingOff: true,
    segmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
  } as const
  const proof = lazily(() =>
    proveRestore(context, { ...request, destination: path.join(options.scratch, 'data') }),
  )
  return {
    async plan() {
      const { plan, majorVersion } = await proof()
      const { entry, sentinel } = plan.candidate
      return {
        ...plan,
        backup: entry.name,
        majorVersion,
        spec: sentinel.spec,
        dataBytes: sentinel.dataCatalogSizeBytes || sentinel.uncompressedSizeBytes,
      }
    },
    async restore(destination, tablespaces) {
      const tablespaceMapping = [...tablespaces].map(([from, to]) => ({ from, to }))
      // its configuration is not used: what is said about it does not matter
      const quiet = { ...context, log: { ...context.log, warning: context.log.debug } }
      const fetchFiles = fetchFilesBy(context, { ...settings, WALG_TAR_DISABLE_FSYNC: true })
      await restore(quiet, { ...request, destination, tablespaceMapping }, await proof(), fetchFiles)
    },
    findPrograms: majorVersion =>
      findServerPrograms({
        majorVersion,
        directory: settings.WALG_PG_BIN_DIR,
        searchPath: searchPath(),
      }),
  }
}

/** Asks once, when the answer is wanted first. */
function lazily<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined
  return () => {
    answer ??= ask()
    return answer
  }
}

function ageSeconds(report: DrillReport): number | null {
  const { lastTransactionUs, beganNs } = report
  if (lastTransactionUs === undefined) return null
  return Math.max(0, Number(beganNs / 1000n - lastTransactionUs) / 1e6)
}

function renderText(report: DrillReport): string {
  const { plan, databases, findings, lastTransactionUs, restoreMs, recoveryMs, checksMs } = report
  const last = lastTransactionUs === undefined ? 'none' : formatTimeTarget(lastTransactionUs)
  const sum = (count: 'indexesCount' | 'tablesCount'): number =>
    databases.reduce((total, database) => total + database[count], 0)
  return [
    `backup            ${plan.backup}, timeline ${plan.timeline}, WAL up to ${plan.lastSegment}`,
    `restored in       ${formatDurationMs(restoreMs + recoveryMs)} (files ${formatDurationMs(restoreMs)}, recovery ${formatDurationMs(recoveryMs)})`,
    `last transaction  ${last}`,
    `checked in        ${formatDurationMs(checksMs)}: ${databases.length} databases, ${sum('indexesCount')} B-trees, ${sum('tablesCount')} tables`,
    ...findings.map(
      ({ database, object, message }) => `FOUND             ${database}: ${object}: ${message}`,
    ),
    ...(report.keptIn === null ? [] : [`kept in           ${report.keptIn}`]),
    `result            ${findings.length === 0 ? 'OK' : `FAILURE, ${findings.length} findings`}`,
    '',
  ].join('\n')
}

function renderJson(report: DrillReport): string {
  const { plan, lastTransactionUs, restoreMs, recoveryMs, checksMs, findings, databases } = report
  const document: JsonValue = {
    result: findings.length === 0 ? 'OK' : 'FAILURE',
    backup: plan.backup,
    timeline: plan.timeline,
    last_segment: plan.lastSegment,
    last_archived: plan.lastArchivedNs === undefined ? null : formatTimeTarget(plan.lastArchivedNs / 1000n),
    server_version: report.serverVersion,
    began: formatTimeTarget(report.beganNs / 1000n),
    rto_seconds: (restoreMs + recoveryMs) / 1000,
    restore_seconds: restoreMs / 1000,
    recovery_seconds: recoveryMs / 1000,
    checks_seconds: checksMs / 1000,
    last_transaction: lastTransactionUs === undefined ? null : formatTimeTarget(lastTransactionUs),
    rpo_seconds: ageSeconds(report),
    databases: databases.map(({ name, indexesCount, tablesCount }) => ({
      name,
      indexes: indexesCount,
      tables: tablesCount,
    })),
    findings: findings.map(({ database, object, message }) => ({ database, object, message })),
    kept_in: report.keptIn,
  }
  return writeJson(document)
}
