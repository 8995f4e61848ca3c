import { openCodec } from '../../codec/open-codec.ts'
import { MIB, parsePeriodMs } from '../../kit/sizes.ts'
import { nowNs } from '../../kit/timestamp.ts'
import type { VerifyOptions } from '../../operations/verify/options.ts'
import { selectionOf } from '../../repository/selector.ts'
import { usage } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { EXIT_CHECK_FAILURE, EXIT_SUCCESS } from '../exit-code.ts'
import { renderVerifyJson, renderVerifyText } from '../render/verify-report.ts'

type Given = Pick<Invocation, 'positionals' | 'flags'>

export const command: CommandDefinition = {
  name: 'verify',
  usage: 'verify [backup_name|LATEST|--all]',
  summary: 'Reads backups and their WAL in the storage and tells whether they are whole',
  positionals: { kind: 'range', min: 0, max: 1 },
  flags: [
    { name: 'all', type: 'boolean', doc: 'Every backup instead of one with its chain (default: LATEST)' },
    {
      name: 'incremental',
      type: 'boolean',
      doc: 'Leave alone what an earlier run found good and nobody has changed since',
    },
    {
      name: 'max-age',
      type: 'string',
      doc: 'With --incremental: read again what was found good longer ago, e.g. 30d',
    },
    {
      name: 'percent',
      type: 'string',
      doc: 'Read so much of all bytes (1 to 100), what was read longest ago first',
    },
    { name: 'to-now', type: 'boolean', doc: 'Also the WAL behind each backup, up to the newest segment' },
    { name: 'json', type: 'boolean', doc: 'Prints the report as JSON' },
  ],
  examples: `  verify                           the latest backup with everything it hangs on
  verify --all --incremental       every backup; what is known to be good is not read again
  verify --all --percent 5         a twentieth of everything, another one each time`,
  needsStorage: true,
  opensPayloads: true,
  check: given => void readOptions(given),
  async run(invocation: Invocation): Promise<number> {
    const { settings, flags } = invocation
    const storage = await invocation.openStorage()
    try {
      const { verify } = await import('../../operations/verify/verify.ts')
      const report = await verify(
        { ...invocation, storage, codec: openCodec(invocation.codecDescription) },
        {
          ...readOptions(invocation),
          segmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
          pageBytes: settings.WALG_PG_BLOCK_SIZE,
          nowNs: nowNs(),
        },
      )
      await invocation.print(flags['json'] === true ? renderVerifyJson(report) : renderVerifyText(report))
      return report.status === 'OK' ? EXIT_SUCCESS : EXIT_CHECK_FAILURE
    } finally {
      await storage.close()
    }
  },
}

function readOptions({
  positionals,
  flags,
}: Given): Pick<VerifyOptions, 'selection' | 'isIncremental' | 'maxAgeMs' | 'percent' | 'isToNow'> {
  const [name] = positionals
  const isAll = flags['all'] === true
  if (isAll && name !== undefined) throw usage('give a backup or --all, not both')
  const isIncremental = flags['incremental'] === true
  const maxAge = flags['max-age']
  const hasMaxAge = typeof maxAge === 'string' && maxAge !== ''
  if (hasMaxAge && !isIncremental) throw usage('--max-age says what --incremental reads again: give both')
  return {
    selection: isAll ? { kind: 'all' } : selectionOf(name ?? 'LATEST'),
    isIncremental,
    maxAgeMs: hasMaxAge ? readPeriod(maxAge) : null,
    percent: readPercent(flags['percent']),
    isToNow: flags['to-now'] === true,
  }
}

function readPeriod(text: string): number {
  try {
    return parsePeriodMs(text)
  } catch (error) {
    throw usage(`--max-age: expected ${error instanceof Error ? error.message : error}, but got '${text}'`)
  }
}

function readPercent(text: Invocation['flags'][string]): number {
  if (typeof text !== 'string' || text === '') return 100
  const percent = /^\d{1,3}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN
  if (percent > 0 && percent <= 100) return percent
  throw usage(`--percent: expected a number above 0, up to 100, but got '${text}'`)
}
