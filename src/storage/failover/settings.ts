import { boolean, byteSize, duration } from '../../kit/setting-parsers.ts'
import type { SettingProblem, SettingsTableOf } from '../../kit/settings.ts'

/** Settings of each further storage, by name; keys are upper-case setting names. */
export type FailoverRecords = Readonly<Record<string, Readonly<Record<string, string>>>>

/** Further storages: which there are, and how it is found out which of them are alive. */
export interface FailoverSettings {
  readonly WALG_FAILOVER_STORAGES: FailoverRecords | undefined
  /** Undefined: when there are failover storages. */
  readonly WALG_FAILOVER_STORAGES_CHECK: boolean | undefined
  readonly WALG_FAILOVER_STORAGES_CHECK_TIMEOUT: number
  readonly WALG_FAILOVER_STORAGES_CHECK_SIZE: number
  readonly WALG_FAILOVER_STORAGES_CACHE_LIFETIME: number
  readonly WALG_FAILOVER_STORAGES_CACHE_EMA_ALIVE_LIMIT: number
  readonly WALG_FAILOVER_STORAGES_CACHE_EMA_DEAD_LIMIT: number
  readonly WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MAX: number
  readonly WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MIN: number
  readonly WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MAX: number
  readonly WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MIN: number
  /** Names, none twice. */
  readonly WALG_MIRROR_STORAGES: readonly string[]
  readonly WALG_MIRROR_REQUIRED: boolean
}

export const failoverSettings: SettingsTableOf<FailoverSettings> = {
  WALG_FAILOVER_STORAGES: {
    parse: parseRecords,
    secret: true,
    doc: 'Further storages by name, each with its own settings: a nested map in the config file (its names are read in lower case), or JSON in the environment. A storage inherits settings without `WALG_` in front, such as `AWS_ENDPOINT`.',
  },
  WALG_FAILOVER_STORAGES_CHECK: {
    parse: boolean,
    defaultText: '`true` with failover storages, else `false`',
    doc: 'Whether storages are probed before they are used. Without probes all are taken for alive.',
  },
  WALG_FAILOVER_STORAGES_CHECK_TIMEOUT: {
    parse: duration(1),
    default: 30_000,
    defaultText: '`30s`',
    doc: 'Longest probe of a storage.',
  },
  WALG_FAILOVER_STORAGES_CHECK_SIZE: {
    parse: byteSize(1),
    default: 1 << 20,
    defaultText: '`1mb`',
    doc: 'Size of the object that is put, and removed again, to see whether a storage can be written to.',
  },
  WALG_FAILOVER_STORAGES_CACHE_LIFETIME: {
    parse: duration(),
    default: 15 * 60_000,
    defaultText: '`15m`',
    doc: 'How long the state of a storage is believed without another probe.',
  },
  WALG_FAILOVER_STORAGES_CACHE_EMA_ALIVE_LIMIT: fraction(
    0.99,
    'Aliveness at which a dead storage is alive again.',
  ),
  WALG_FAILOVER_STORAGES_CACHE_EMA_DEAD_LIMIT: fraction(0.88, 'Aliveness at which an alive storage is dead.'),
  WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MAX: fraction(
    0.05,
    'Weight of one result for an alive storage, at most.',
  ),
  WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MIN: fraction(
    0.01,
    'Weight of one result for an alive storage, at least.',
  ),
  WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MAX: fraction(
    0.5,
    'Weight of one result for a dead storage, at most.',
  ),
  WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MIN: fraction(
    0.1,
    'Weight of one result for a dead storage, at least.',
  ),
  WALG_MIRROR_STORAGES: {
    parse: parseNames,
    default: [],
    doc: 'Names of failover storages to which every object of a backup and of WAL is also written before success is reported, separated by commas.',
  },
  WALG_MIRROR_REQUIRED: {
    parse: boolean,
    default: true,
    doc: 'With `false` a mirror that cannot be written to does not fail the push: the missing objects are noted, reported, and brought by the next push.',
  },
}

/** Rules over several of these settings. */
export function checkFailoverSettings(settings: FailoverSettings): SettingProblem | undefined {
  return (
    checkOrder(
      settings,
      'WALG_FAILOVER_STORAGES_CACHE_EMA_DEAD_LIMIT',
      'WALG_FAILOVER_STORAGES_CACHE_EMA_ALIVE_LIMIT',
    ) ??
    checkOrder(
      settings,
      'WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MIN',
      'WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MAX',
    ) ??
    checkOrder(
      settings,
      'WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MIN',
      'WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MAX',
    ) ??
    checkMirrors(settings)
  )
}

type EmaSetting = Extract<keyof FailoverSettings, `WALG_FAILOVER_STORAGES_CACHE_EMA_${string}`>

function checkOrder(
  settings: FailoverSettings,
  low: EmaSetting,
  high: EmaSetting,
): SettingProblem | undefined {
  if (settings[low] <= settings[high]) return undefined
  return {
    code: 'SETTING_CONFLICT',
    names: [low, high],
    message: `${low} is ${settings[low]}, more than ${high}, which is ${settings[high]}`,
  }
}

function checkMirrors(settings: FailoverSettings): SettingProblem | undefined {
  const names = Object.keys(settings.WALG_FAILOVER_STORAGES ?? {})
  const unknown = settings.WALG_MIRROR_STORAGES.filter(name => !names.includes(name))
  if (unknown.length === 0) return undefined
  const known = names.length === 0 ? 'there are none' : `there are ${names.join(', ')}`
  return {
    code: 'SETTING_INVALID',
    names: ['WALG_MIRROR_STORAGES'],
    message: `WALG_MIRROR_STORAGES names ${unknown.map(name => `"${name}"`).join(', ')}, which is no failover storage: ${known}`,
    hint: 'a mirror is a storage of WALG_FAILOVER_STORAGES; names in a config file are read in lower case',
  }
}

function fraction(value: number, doc: string): { parse(text: string): number; default: number; doc: string } {
  return { parse: parseFraction, default: value, doc }
}

function parseFraction(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0 && value < 1)) throw new Error('a number between 0 and 1')
  return value
}

function parseNames(text: string): readonly string[] {
  const names = text
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')
  if (new Set(names).size !== names.length) throw new Error('names of storages, none of them twice')
  if (names.includes('default')) throw new Error('names of failover storages: the primary one is no mirror')
  return names
}

const NAME = /^[^\s/#,]+$/

function parseRecords(text: string): FailoverRecords {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw new Error('a map of storages, each with its settings, as JSON')
  }
  const records: Record<string, Readonly<Record<string, string>>> = {}
  for (const [name, settings] of entriesOf(document, 'a map of storages by name')) {
    if (name === 'default') throw new Error("other names: 'default' storage name is reserved")
    if (name === 'all') throw new Error("other names: 'all' means every storage")
    if (!NAME.test(name)) throw new Error(`a name without blanks, commas, "/" and "#" instead of "${name}"`)
    const record: Record<string, string> = {}
    for (const [key, value] of entriesOf(settings, `settings for storage "${name}"`)) {
      if (value === null || value === undefined) continue
      record[key.toUpperCase()] = typeof value === 'object' ? JSON.stringify(value) : String(value)
    }
    records[name] = record
  }
  return records
}

function entriesOf(value: unknown, expected: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(expected)
  return Object.entries(value)
}
