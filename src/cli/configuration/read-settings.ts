import { ENCRYPTION_NAME } from '../../codec/settings.ts'
import {
  evaluateSetting,
  type GivenSetting,
  type SettingProblem,
  type SettingTexts,
  trimLineEnd,
} from '../../kit/settings.ts'
import { flagNameOf, settingNameOf } from '../arguments.ts'
import { SETTING_RULES, SETTINGS, type Settings } from '../settings.ts'
import type { ConfigFile } from './config-file.ts'

export interface SettingSources {
  /** By flag name; an empty text counts as given. */
  readonly flags: ReadonlyMap<string, string>
  /** Empty values count as absent. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly file: ConfigFile | undefined
}

export interface SettingsReading {
  /** Where a setting has a problem, its default (or undefined). */
  readonly settings: Settings
  /** Everything that is wrong. */
  readonly problems: readonly SettingProblem[]
  /** Texts that must never be seen, from all sources. */
  readonly secrets: readonly string[]
  /** Keys of the file that no table has. */
  readonly unknownKeys: readonly string[]
  /** What was given, for the storage that its prefix chooses (`storage/read-storage.ts`). */
  readonly texts: SettingTexts
  /** Every setting that counts, by the name that stands for it, as it was given. */
  given(): ReadonlyMap<string, GivenSetting>
}

/** Every spelling of every setting, and the canonical name it stands for. */
let canonicalNames: Map<string, string> | undefined

/** Every spelling of every setting. */
export function knownNames(): ReadonlyMap<string, string> {
  if (canonicalNames !== undefined) return canonicalNames
  canonicalNames = new Map()
  for (const [name, { aliases }] of Object.entries(SETTINGS)) {
    canonicalNames.set(name, name)
    if (aliases !== undefined) for (const alias of aliases) canonicalNames.set(alias, name)
  }
  return canonicalNames
}

/**
 * Reads every known setting: flag, then environment, then file, then default; among the spellings of one
 * setting the canonical one wins, then the aliases in their order.
 */
export function readSettings(sources: SettingSources): SettingsReading {
  const known = knownNames()
  const values: Record<string, unknown> = {}
  for (const name in SETTINGS) values[name] = SETTINGS[name]!.default
  const problems: SettingProblem[] = []
  const secrets = new Set<string>()

  for (const name of givenSettings(sources, known)) {
    const definition = SETTINGS[name]!
    const names = [name, ...(definition.aliases ?? [])]
    for (const text of allTexts(names, sources)) {
      if (definition.secret === true) for (const secret of secretsIn(name, text)) secrets.add(secret)
      else for (const [, password] of text.matchAll(/:\/\/[^/\s:@]*:([^/\s@]+)@/g)) secrets.add(password!)
    }
    if (definition.isStorageOption === true) continue
    const given = lookUp(names, sources)
    if (given === undefined) {
      if (definition.refusesEmpty === true) problems.push(emptySetting(name))
      continue
    }
    const outcome = evaluateSetting(given, definition)
    if ('problem' in outcome) problems.push(outcome.problem)
    else values[name] = outcome.value
  }

  const settings = values as unknown as Settings
  const unknownKeys = [...(sources.file?.values.keys() ?? [])].filter(key => !known.has(key))
  problems.push(...unknownEncryption(unknownKeys, sources, known))
  if (problems.length === 0) problems.push(...SETTING_RULES.flatMap(rule => rule(settings) ?? []))
  const texts: SettingTexts = { find: names => lookUp(names, sources) }
  const given = (): ReadonlyMap<string, GivenSetting> => winners(sources, known)
  return { settings, problems, secrets: [...secrets], unknownKeys, texts, given }
}

function winners(
  sources: SettingSources,
  known: ReadonlyMap<string, string>,
): ReadonlyMap<string, GivenSetting> {
  const names = [...givenSettings(sources, known)].sort()
  return new Map(
    names.flatMap(name => {
      const given = lookUp([name, ...(SETTINGS[name]!.aliases ?? [])], sources)
      return given === undefined ? [] : [[name, given] as const]
    }),
  )
}

/** Of the nested settings of failover storages those that are secret, besides the text as a whole. */
function secretsIn(name: string, text: string): string[] {
  if (name !== 'WALG_FAILOVER_STORAGES') return [text]
  const secrets = [text]
  const visit = (key: string, value: unknown): void => {
    if (typeof value === 'object' && value !== null) {
      for (const [inner, below] of Object.entries(value)) visit(inner.toUpperCase(), below)
    } else if (SETTINGS[knownNames().get(key) ?? '']?.secret === true && String(value) !== '') {
      secrets.push(String(value))
    }
  }
  try {
    visit('', JSON.parse(text))
  } catch {
    // What cannot be parsed is reported as such, and hidden as a whole.
  }
  return secrets
}

/** Canonical names of what any source mentions, each once: a start-up must not ask for every setting there is. */
function givenSettings(sources: SettingSources, known: ReadonlyMap<string, string>): Set<string> {
  const names = [
    ...[...sources.flags.keys()].map(settingNameOf),
    ...Object.keys(sources.environment),
    ...(sources.file?.values.keys() ?? []),
  ]
  return new Set(names.map(name => known.get(name)).filter(name => name !== undefined))
}

function lookUp(names: readonly string[], sources: SettingSources): GivenSetting | undefined {
  if (sources.flags.size > 0) {
    for (const name of names) {
      const flag = flagNameOf(name)
      const text = sources.flags.get(flag)
      if (text !== undefined) return { name, text: trimLineEnd(text), source: `flag --${flag}` }
    }
  }
  for (const name of names) {
    const fromEnvironment = trimLineEnd(sources.environment[name] ?? '')
    if (fromEnvironment !== '') return { name, text: fromEnvironment, source: 'environment' }
    const fromFile = trimLineEnd(sources.file?.values.get(name) ?? '')
    if (fromFile !== '') return { name, text: fromFile, source: sources.file!.path }
  }
  return undefined
}

function* allTexts(names: readonly string[], sources: SettingSources): Generator<string> {
  for (const name of names) {
    const texts = [
      sources.flags.size > 0 ? sources.flags.get(flagNameOf(name)) : undefined,
      sources.environment[name],
      sources.file?.values.get(name),
    ]
    for (const text of texts) if (text !== undefined && text.trim() !== '') yield trimLineEnd(text)
  }
}

function emptySetting(name: string): SettingProblem {
  return {
    code: 'SETTING_INVALID',
    names: [name],
    message: `${name} is set, but empty`,
    hint: 'give it a value, or remove it altogether: data must not be stored in the clear because a key got lost',
  }
}

/** A misspelled key setting must not end in plain data. */
function unknownEncryption(
  unknownKeys: readonly string[],
  sources: SettingSources,
  known: ReadonlyMap<string, string>,
): SettingProblem[] {
  const fromEnvironment = Object.keys(sources.environment).filter(
    name => !known.has(name) && ENCRYPTION_NAME.test(name) && sources.environment[name] !== '',
  )
  const names = new Set([...fromEnvironment, ...unknownKeys.filter(key => ENCRYPTION_NAME.test(key))])
  return [...names].map(name => ({
    code: 'SETTING_INVALID',
    names: [name],
    message: `${name} looks like a setting of encryption, but there is none of that name`,
    hint: 'correct or remove it: data must not be stored in the clear because a key was not understood',
  }))
}
