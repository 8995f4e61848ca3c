import { jsonText, period, wholeNumber } from '../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTableOf } from '../../kit/settings.ts'

/** What `delete policy` keeps; spans in milliseconds. */
export interface PolicySettings {
  readonly WALG_POLICY_KEEP_FULL: number | undefined
  readonly WALG_POLICY_KEEP_AGE: number | undefined
  readonly WALG_POLICY_KEEP_WINDOW: number | undefined
  readonly WALG_POLICY_KEEP_HOURLY: number | undefined
  readonly WALG_POLICY_KEEP_DAILY: number | undefined
  readonly WALG_POLICY_KEEP_WEEKLY: number | undefined
  readonly WALG_POLICY_KEEP_MONTHLY: number | undefined
  readonly WALG_POLICY_KEEP_YEARLY: number | undefined
  readonly WALG_POLICY_KEEP_USER_DATA: string | undefined
}

export const policySettings: SettingsTableOf<PolicySettings> = {
  WALG_POLICY_KEEP_FULL: {
    parse: wholeNumber({ min: 1 }),
    doc: '`delete policy` keeps so many full backups, and everything since the oldest of them.',
  },
  WALG_POLICY_KEEP_AGE: {
    parse: period,
    doc: '`delete policy` keeps every backup that is younger, e.g. `14d`, and all WAL since the oldest of them.',
  },
  WALG_POLICY_KEEP_WINDOW: {
    parse: period,
    doc: '`delete policy` keeps recovery possible to any moment of this span, e.g. `7d`: the newest backup that ended before it, and everything since.',
  },
  WALG_POLICY_KEEP_HOURLY: calendar('hours'),
  WALG_POLICY_KEEP_DAILY: calendar('days'),
  WALG_POLICY_KEEP_WEEKLY: calendar('weeks (from Monday)'),
  WALG_POLICY_KEEP_MONTHLY: calendar('months'),
  WALG_POLICY_KEEP_YEARLY: calendar('years'),
  WALG_POLICY_KEEP_USER_DATA: {
    parse: jsonText,
    doc: '`delete policy` keeps backups with these user data, with the WAL they need to be started.',
  },
}

function calendar(periods: string): SettingDefinition<number> {
  return {
    parse: wholeNumber(),
    doc: `\`delete policy\` keeps the newest backup of each of the last so many ${periods} in UTC that have one, with the WAL it needs to be started.`,
  }
}
