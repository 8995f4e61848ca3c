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
  /**
   * An option of one storage: parsed by that storage's reader when its prefix chooses it (`readTable`); without the
   * prefix it is neither parsed nor an error, as in the original.
   */
  readonly isStorageOption?: true
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

// Settings as they were written, before anybody has parsed them: of the process, of a nested map, of a config file.

/** One setting that was found. */
export interface GivenSetting {
  /** As it was spelled. */
  readonly name: string
  readonly text: string
  /** For messages: `environment`, `flag --x`, the path of a file. */
  readonly source: string
}

/** A record of settings by any of their spellings. */
export interface SettingTexts {
  /** The first of `names` that is set; undefined when none is. An empty text counts as not set. */
  find(names: readonly string[]): GivenSetting | undefined
}

/**
 * A plain record as settings; its keys are upper-case names. `inherited` answers for what the record does not have,
 * except for names that begin with WALG_ or WALE_: as the original does for failover storages (commands 2.12).
 */
export function textsOfRecord(
  record: Readonly<Record<string, string>>,
  source: string,
  inherited?: SettingTexts,
): SettingTexts {
  return {
    find(names) {
      for (const name of names) {
        const text = trimLineEnd(record[name] ?? '')
        if (text !== '') return { name, text, source }
      }
      return inherited?.find(names.filter(name => !/^WAL[GE]_/.test(name)))
    },
  }
}

/** Typed values of one table, and everything that is wrong with them; where there is a problem, the default stands. */
export interface TableReading<T> {
  readonly values: T
  readonly problems: readonly SettingProblem[]
}

/** Parses what `texts` has for a table. */
export function readTable<T>(table: SettingsTableOf<T>, texts: SettingTexts): TableReading<T> {
  const values: Record<string, unknown> = {}
  const problems: SettingProblem[] = []
  for (const [name, definition] of Object.entries(table as SettingsTable)) {
    values[name] = definition.default
    const given = texts.find([name, ...(definition.aliases ?? [])])
    if (given === undefined) continue
    const outcome = evaluateSetting(given, definition)
    if ('problem' in outcome) problems.push(outcome.problem)
    else values[name] = outcome.value
  }
  return { values: values as T, problems }
}

/** Parses one setting. The problem names it, its source and what was expected; a secret's value is not shown. */
export function evaluateSetting(
  given: GivenSetting,
  definition: SettingDefinition<unknown>,
): { readonly value: unknown } | { readonly problem: SettingProblem } {
  const shown = definition.secret === true ? 'set' : JSON.stringify(given.text)
  let value: unknown
  try {
    value = definition.parse(given.text)
  } catch (error) {
    const expected = error instanceof Error ? error.message : String(error)
    const message = `${given.name} is ${shown} (${given.source}), expected ${expected}`
    return { problem: { code: 'SETTING_INVALID', names: [given.name], message } }
  }
  const isLater = definition.later !== undefined && given.text !== '' && (definition.isLater?.(value) ?? true)
  if (!isLater) return { value }
  return {
    problem: {
      code: 'NOT_AVAILABLE',
      names: [given.name],
      message: `${given.name} is ${shown} (${given.source}), but this version does not know ${definition.later} yet`,
      hint: 'nothing is read or stored in another way than you asked for; remove the setting to go on without it',
    },
  }
}

/** Line ends at the end come from envdir and from files. */
export function trimLineEnd(text: string): string {
  return text.replace(/[\r\n]+$/, '')
}
