/**
 * The mechanism behind settings: one table per room, everything else derived from it (types, environment,
 * flags, config files, redaction, `wal-g flags`, docs/reference/settings.md).
 */

/** A parser throws an Error whose message says what was expected, e.g. `a whole number of at least 1`. */
export type SettingParser<T> = (text: string) => T

export interface SettingDefinition<T> {
  readonly parse: SettingParser<T>
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
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds definitions of every type
export type SettingsTable = Readonly<Record<string, SettingDefinition<any>>>

/** The typed values of a table: a setting with a default is always there. */
export type SettingsOf<T extends SettingsTable> = {
  readonly [K in keyof T]: T[K] extends SettingDefinition<infer V>
    ? T[K] extends { readonly default: unknown }
      ? V
      : V | undefined
    : never
}

/** Keeps the literal type of a table and checks its shape. */
export function defineSettings<const T extends SettingsTable>(table: T): T {
  return table
}
