import { openCodec } from '../../codec/open-codec.ts'
import { type JsonValue, writeJson } from '../../kit/json.ts'
import { MIB } from '../../kit/sizes.ts'
import { type DoctorReport, doctor } from '../../operations/doctor/doctor.ts'
import type { Verdict } from '../../operations/doctor/examination.ts'
import type { SecretFile } from '../../operations/doctor/examine-files.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { connectionOf } from '../connection.ts'
import { EXIT_CHECK_FAILURE, EXIT_SUCCESS } from '../exit-code.ts'
import { readDuration } from '../recovery-arguments.ts'
import { SETTINGS } from '../settings.ts'

const BACKUP_AGE_MS_MAX_DEFAULT = 36 * 3_600_000
const WORST_LAST: readonly Verdict[] = ['ok', 'note', 'warning', 'failure']

export const command: CommandDefinition = {
  name: 'doctor',
  usage: 'doctor',
  summary: 'Looks at the whole set-up and says what to fix',
  positionals: { kind: 'none' },
  flags: [
    { name: 'json', type: 'boolean', doc: 'Prints the findings as JSON' },
    {
      name: 'max-backup-age',
      type: 'string',
      doc: 'An older newest backup is a warning (default 36h)',
    },
    { name: 'no-server', type: 'boolean', doc: 'Looks at the storage only' },
  ],
  needsStorage: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { flags, settings, signal } = invocation
    const { driver } = invocation.storageDescription
    const report = await doctor(
      {
        codec: openCodec(invocation.codecDescription),
        signal,
        openStorage: () => invocation.openStorage(),
      },
      {
        connection: flags['no-server'] === true ? null : connectionOf(settings),
        segmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
        blockBytes: settings.WALG_PG_BLOCK_SIZE,
        backupAgeMsMax: readDuration(flags, 'max-backup-age', BACKUP_AGE_MS_MAX_DEFAULT),
        files: secretFiles(invocation),
        repositoryDirectory: driver.kind === 'fs' ? driver.root : undefined,
      },
    )
    await invocation.print(flags['json'] === true ? `${renderJson(report)}\n` : renderText(report))
    return worst(report) === 'failure' ? EXIT_CHECK_FAILURE : EXIT_SUCCESS
  },
}

/** The config file, and files of keys and passwords that settings name. */
function secretFiles({ configuration }: Invocation): SecretFile[] {
  const given = configuration.given()
  const hasSecrets = [...given].some(
    ([name, { source }]) => source === configuration.file && SETTINGS[name]?.secret === true,
  )
  const files: SecretFile[] =
    configuration.file === undefined
      ? []
      : [{ setting: 'config file', path: configuration.file, isSecret: hasSecrets }]
  for (const [name, { text }] of given) {
    if (/_KEY_PATH$|^PGPASSFILE$|_PRIVATE_KEY_PATH$/.test(name)) {
      files.push({ setting: name, path: text, isSecret: true })
    }
  }
  return files
}

function worst({ findings }: DoctorReport): Verdict {
  return WORST_LAST.findLast(verdict => findings.some(finding => finding.verdict === verdict)) ?? 'ok'
}

function renderText(report: DoctorReport): string {
  const lines = report.findings.flatMap(({ area, verdict, message, fix }) => [
    `${verdict.toUpperCase().padEnd(8)} ${area.padEnd(10)} ${message}`,
    ...(fix === undefined ? [] : [`${' '.repeat(20)}fix: ${fix}`]),
  ])
  const count = report.findings.filter(({ verdict }) => verdict === 'failure').length
  const warnings = report.findings.filter(({ verdict }) => verdict === 'warning').length
  return [...lines, `${count} to fix, ${warnings} warnings`, ''].join('\n')
}

function renderJson(report: DoctorReport): string {
  const document: JsonValue = {
    result: worst(report),
    findings: report.findings.map(({ area, verdict, message, fix }) => ({
      area,
      verdict,
      message,
      fix: fix ?? null,
    })),
  }
  return writeJson(document)
}
