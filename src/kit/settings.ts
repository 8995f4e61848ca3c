/**
 * The mechanism behind settings: one table per room, everything else derived from it (types, environment,
 * flags, config files, redaction, `wal-g flags`, docs/reference/settings.md).
 */

/** A parser throws an Error whose message says what was expected, e.g. `a whole number of at least 1`. */
export type SettingParser<T> = (text: string) => T

export interface SettingDefinition<T> {
  readonly parse: SettingParser<T>
  /**
   * An empty value that nothing else replaces is an error instead of meaning "not set": an empty key must not end in
   * plain data.
   */
  readonly refusesEmpty?: boolean
  /** A value, or absent: then the typed setting may be undefined. */
  readonly default?: T
  /** Shown in the reference instead of the default value, e.g. `2, or a quarter of the CPUs`. */
  readonly defaultText?: string
  /** Other names that mean the same, looked up after the canonical one, in this order. */
  readonly aliases?: readonly string[]
  /** The value never appears in a log, error or reference. */
  readonly secret?: boolean
  /** One or two sentences for a DBA. */
  readonly doc: string
  /** Known to the original, read by us, without effect: says why. */
  readonly ignored?: string
  /**
   * Belongs to a later piece and would change how or where data is stored: being set is an ERROR that names
   * the setting, until the piece exists.
   */
  readonly later?: string
  /** With `later`: whether this value needs the later piece; absent = every value does. */
  readonly isLater?: (value: T) => boolean
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds definitions of every type
export type SettingsTable = Readonly<Record<string, SettingDefinition<any>>>

/**
 * The table that belongs to an interface of typed values: a setting that may be undefined has no default,
 * every other one has. A room writes its interface and its table side by side in `settings.ts`; the compiler
 * keeps the two equal.
 */
export type SettingsTableOf<T> = {
  readonly [K in keyof T]-?: undefined extends T[K]
    ? SettingDefinition<NonNullable<T[K]>>
    : SettingDefinition<T[K]> & { readonly default: T[K] }
}

/** What is wrong with one or more settings; several are reported together. */
export interface SettingProblem {
  readonly code: 'SETTING_MISSING' | 'SETTING_INVALID' | 'SETTING_CONFLICT' | 'NOT_AVAILABLE'
  readonly names: readonly string[]
  /** A whole sentence, without secrets. */
  readonly message: string
  readonly hint?: string
}

/** A rule over several settings of one room; pure. */
export type SettingsRule<T> = (settings: T) => SettingProblem | undefined
