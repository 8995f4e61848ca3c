import { type SettingProblem, type SettingTexts, textsOfRecord } from '../../kit/settings.ts'
import type { DriverDescription } from '../description.ts'
import { readStorage, STORAGE_PREFIX_NAMES } from '../read-storage.ts'
import type { FailoverRecords } from './settings.ts'

export interface FailoversReading {
  /** In the order in which they are tried. */
  readonly storages: readonly { readonly name: string; readonly driver: DriverDescription }[]
  readonly problems: readonly SettingProblem[]
  readonly warnings: readonly string[]
}

/** Reads every further storage; `inherited` answers for settings without `WALG_` in front. */
export async function readFailovers(
  records: FailoverRecords,
  inherited: SettingTexts,
): Promise<FailoversReading> {
  const storages: { name: string; driver: DriverDescription }[] = []
  const problems: SettingProblem[] = []
  const warnings: string[] = []
  for (const name of Object.keys(records).sort()) {
    const texts = textsOfRecord(records[name]!, `failover storage ${name}`, inherited)
    const reading = await readStorage(texts)
    problems.push(...reading.problems)
    warnings.push(...reading.warnings.map(warning => `failover storage ${name}: ${warning}`))
    if (reading.description !== undefined) storages.push({ name, driver: reading.description })
    else if (reading.problems.length === 0) {
      problems.push({
        code: 'SETTING_MISSING',
        names: ['WALG_FAILOVER_STORAGES'],
        message: `failover storage ${name}: No storage is configured now, please set one of following settings: [${STORAGE_PREFIX_NAMES.join(' ')}]`,
      })
    }
  }
  return { storages, problems, warnings }
}
