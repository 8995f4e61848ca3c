import type { SettingDefinition, SettingParser } from '../kit/settings.ts'

/** What an option of a storage may have beside its text. */
export interface DriverOption<T> {
  readonly parse: SettingParser<T>
  readonly default?: T
  readonly defaultText?: string
  readonly secret?: boolean
  /** Further bare names, each with its WALG_ and WALE_ spellings. */
  readonly otherNames?: readonly string[]
  /** See `SettingDefinition.ignored`. */
  readonly ignored?: string
}

/** An option of a storage, spelled bare, `WALG_X` or `WALE_X`, looked up in this order (commands 2.3). */
export function driverOption<T>(
  name: string,
  doc: string,
  option: DriverOption<T> & { readonly default: T },
): SettingDefinition<T> & { readonly default: T }
export function driverOption<T>(name: string, doc: string, option: DriverOption<T>): SettingDefinition<T>
export function driverOption<T>(name: string, doc: string, option: DriverOption<T>): SettingDefinition<T> {
  const { otherNames = [], ...definition } = option
  const spellings = [name, ...otherNames].flatMap(each => [each, `WALG_${each}`, `WALE_${each}`])
  return { ...definition, aliases: spellings.slice(1), isStorageOption: true, doc }
}

/** The setting that chooses a storage: `WALG_<type>_PREFIX`, then `WALE_<type>_PREFIX`. */
export function driverPrefix<T>(type: string, parse: SettingParser<T>, doc: string): SettingDefinition<T> {
  return { parse, aliases: [`WALE_${type}_PREFIX`], isStorageOption: true, doc }
}
