import { WalgError } from '../kit/errors.ts'
import { parseDurationMs } from '../kit/sizes.ts'
import type { FlagDefinition, PositionalRule } from './command.ts'

export type FlagValue = string | boolean | number | readonly string[]

export interface ParsedArguments {
  readonly positionals: readonly string[]
  /** Flags of the command that were given, by name. */
  readonly flags: Readonly<Record<string, FlagValue>>
  /** Setting flags that were given, by flag name; an empty text counts as given. */
  readonly settingFlags: ReadonlyMap<string, string>
}

/** Flags that every command has. */
export const GLOBAL_FLAGS: readonly FlagDefinition[] = [
  {
    name: 'config',
    type: 'string',
    doc: 'config file (default is $HOME/.walg.json, can also be set via WALG_CONFIG_PATH env var)',
  },
  { name: 'turbo', type: 'boolean', doc: 'Ignore all kinds of throttling defined in config' },
]

/** Of every verb that reads or writes backups or WAL. */
export const TARGET_STORAGE_FLAG: FlagDefinition = {
  name: 'target-storage',
  type: 'string',
  doc: 'Name of the storage to execute the command only for. Use "default" to select the primary one.',
}

/** Of every verb that restores. */
export const TABLESPACE_MAPPING_FLAG: FlagDefinition = {
  name: 'tablespace-mapping',
  type: 'strings',
  placeholder: 'map',
  doc: 'Puts the tablespace of OLDDIR into NEWDIR, as OLDDIR=NEWDIR; may be repeated',
}

export const VERSION_FLAG: FlagDefinition = {
  name: 'version',
  short: 'v',
  type: 'boolean',
  doc: 'version for wal-g',
}

/** `-h` of one command, whose path is e.g. `backup-push`; for the root `wal-g`. */
export function helpFlag(commandName: string): FlagDefinition {
  return { name: 'help', short: 'h', type: 'boolean', doc: `help for ${commandName}` }
}

/** The setting that a flag such as `walg-s3-prefix` stands for, as a name: `WALG_S3_PREFIX`. */
export function settingNameOf(flagName: string): string {
  return flagName.toUpperCase().replaceAll('-', '_')
}

/** The flag of a setting: `WALG_S3_PREFIX` -> `walg-s3-prefix`. */
export function flagNameOf(settingName: string): string {
  return settingName.toLowerCase().replaceAll('_', '-')
}

/**
 * True for the flag of one of `settingNames`. Another spelling of it is no flag: its value would be looked up under
 * the right spelling, and never found.
 */
export function isFlagOf(settingNames: ReadonlyMap<string, unknown>, flagName: string): boolean {
  const name = settingNameOf(flagName)
  return flagNameOf(name) === flagName && settingNames.has(name)
}

/**
 * Takes the command's name out of the arguments: the first word that is neither a flag nor the value of a
 * global or setting flag, or of one of `groupFlags`. Everything else keeps its order.
 */
export function splitCommand(
  argv: readonly string[],
  isSettingFlag: (name: string) => boolean,
  groupFlags: readonly FlagDefinition[] = [],
): { readonly name: string | undefined; readonly rest: readonly string[] } {
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at]!
    if (word === '--') break
    if (word === '-' || !word.startsWith('-')) {
      return { name: word, rest: [...argv.slice(0, at), ...argv.slice(at + 1)] }
    }
    const flag = word.slice(2)
    if (word.startsWith('--') && (flag === 'config' || isSettingFlag(flag))) at += 1
    else if (groupFlags.some(each => each.type !== 'boolean' && isWord(each, word))) at += 1
  }
  return { name: undefined, rest: argv }
}

function isWord({ name, short }: FlagDefinition, word: string): boolean {
  return word === `--${name}` || (short !== undefined && word === `-${short}`)
}

/**
 * Parses everything but the command's name, in the manner of the original: flags anywhere, `--flag=value`,
 * `--flag value`, clusters of short flags, `--` ends the flags. Throws USAGE with the original's texts.
 */
export function parseArguments(
  args: readonly string[],
  flags: readonly FlagDefinition[],
  isSettingFlag: (name: string) => boolean,
): ParsedArguments {
  const positionals: string[] = []
  const values: Record<string, FlagValue> = {}
  const settingFlags = new Map<string, string>()

  for (let at = 0; at < args.length; at += 1) {
    const word = args[at]!
    const takeNext = (): string | undefined => {
      at += 1
      return args[at]
    }
    if (word === '--') {
      positionals.push(...args.slice(at + 1))
      break
    }
    if (word === '-' || !word.startsWith('-')) positionals.push(word)
    else if (word.startsWith('--')) parseLong(word, takeNext)
    else parseCluster(word, takeNext)
  }
  return { positionals, flags: values, settingFlags }

  function parseLong(word: string, takeNext: () => string | undefined): void {
    const equals = word.indexOf('=')
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals)
    const inline = equals < 0 ? undefined : word.slice(equals + 1)
    if (name === '' || name.startsWith('-')) throw usage(`bad flag syntax: ${word}`)
    const flag = flags.find(each => each.name === name)
    if (flag === undefined && !isSettingFlag(name)) throw usage(`unknown flag: --${name}`)
    if (flag?.type === 'boolean') {
      setFlag(flag, inline ?? 'true')
      return
    }
    const value = inline ?? takeNext()
    if (value === undefined) throw usage(`flag needs an argument: --${name}`)
    if (flag === undefined) settingFlags.set(name, value)
    else setFlag(flag, value)
  }

  function parseCluster(word: string, takeNext: () => string | undefined): void {
    for (let at = 1; at < word.length; at += 1) {
      const letter = word[at]!
      // named with what is left of the word, as in the original
      const left = `-${word.slice(at)}`
      const flag = flags.find(each => each.short === letter)
      if (flag === undefined) throw usage(`unknown shorthand flag: '${letter}' in ${left}`)
      const rest = word.slice(at + 1)
      if (flag.type === 'boolean' && !rest.startsWith('=')) {
        setFlag(flag, 'true')
        continue
      }
      const value = rest === '' ? takeNext() : rest.startsWith('=') ? rest.slice(1) : rest
      if (value === undefined) throw usage(`flag needs an argument: '${letter}' in ${left}`)
      setFlag(flag, value)
      return
    }
  }

  function setFlag(flag: FlagDefinition, text: string): void {
    const value = parseFlagValue(flag, text)
    const before = values[flag.name]
    values[flag.name] = Array.isArray(value) && Array.isArray(before) ? [...before, ...value] : value
  }
}

/** Throws USAGE with the original's text unless the count of positionals is right and required flags are there. */
export function checkArguments(
  commandPath: string,
  rule: PositionalRule,
  flags: readonly FlagDefinition[],
  parsed: ParsedArguments,
): void {
  const count = parsed.positionals.length
  if (rule.kind === 'none' && count > 0) {
    throw usage(`unknown command "${parsed.positionals[0]}" for "${commandPath}"`)
  }
  if (rule.kind === 'exact' && count !== rule.count) {
    throw usage(`accepts ${rule.count} arg(s), received ${count}`)
  }
  if (rule.kind === 'range' && (count < rule.min || count > rule.max)) {
    throw usage(
      rule.min === 0 && rule.isSaidInFull !== true
        ? `accepts at most ${rule.max} arg(s), received ${count}`
        : `accepts between ${rule.min} and ${rule.max} arg(s), received ${count}`,
    )
  }
  if (rule.kind === 'words') {
    if (count !== 1) throw usage(`accepts 1 arg(s), received ${count}`)
    const [word = ''] = parsed.positionals
    if (!rule.words.includes(word)) throw usage(`invalid argument "${word}" for "${commandPath}"`)
  }
  const missing = flags.filter(flag => flag.isRequired === true && !(flag.name in parsed.flags))
  if (missing.length > 0) {
    throw usage(`required flag(s) ${missing.map(flag => `"${flag.name}"`).join(', ')} not set`)
  }
}

/** An error that is answered with the usage of the command. */
export function usage(message: string): WalgError {
  return new WalgError('USAGE', message)
}

const UINT64_MAX = (1n << 64n) - 1n

function parseFlagValue(flag: FlagDefinition, text: string): FlagValue {
  switch (flag.type) {
    case 'string':
      return text
    case 'strings':
      return parseList(text)
    case 'boolean':
      if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true
      if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false
      throw invalid(flag, text, 'ParseBool')
    case 'uint32':
      if (/^\d+$/.test(text) && Number(text) <= 0xffffffff) return Number(text)
      throw invalid(flag, text, 'ParseUint')
    case 'uint':
      if (/^\d+$/.test(text) && BigInt(text) <= UINT64_MAX) {
        return Math.min(Number(text), Number.MAX_SAFE_INTEGER)
      }
      throw invalid(flag, text, 'ParseUint')
    case 'duration':
      try {
        return parseDurationMs(text)
      } catch {
        const reason = `time: invalid duration "${text}"`
        throw usage(`invalid argument "${text}" for "${flagNames(flag)}" flag: ${reason}`)
      }
    case 'number':
      if (/^[+-]?\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
      throw invalid(flag, text, 'ParseInt')
  }
}

function flagNames(flag: FlagDefinition): string {
  return flag.short === undefined ? `--${flag.name}` : `-${flag.short}, --${flag.name}`
}

function invalid(flag: FlagDefinition, text: string, parser: string): WalgError {
  return usage(
    `invalid argument "${text}" for "${flagNames(flag)}" flag: strconv.${parser}: parsing "${text}": invalid syntax`,
  )
}

/** One comma-separated line with double quotes around items that hold commas or quotes. */
function parseList(text: string): string[] {
  if (text === '') return []
  const items: string[] = []
  let item = ''
  let isQuoted = false
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at]!
    if (isQuoted && letter === '"' && text[at + 1] === '"') {
      item += '"'
      at += 1
    } else if (letter === '"') isQuoted = !isQuoted
    else if (letter === ',' && !isQuoted) {
      items.push(item)
      item = ''
    } else item += letter
  }
  items.push(item)
  return items
}
