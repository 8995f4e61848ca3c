import type { CodecDescription } from '../../codec/codec.ts'
import { WalgError } from '../../kit/errors.ts'
import { type SettingProblem, textsOfRecord } from '../../kit/settings.ts'
import type { StorageDescription } from '../../storage/description.ts'
import { readStorage, STORAGE_PREFIX_NAMES } from '../../storage/read-storage.ts'
import type { Invocation } from '../command.ts'
import { describeCodec, describeEncryption } from '../invocation.ts'
import type { Settings } from '../settings.ts'
import { describeStorage, endWaitsOnAbort, type SharedLimits, sharedLimitsOf } from '../storages.ts'
import { readConfigFile } from './config-file.ts'
import { readSettings } from './read-settings.ts'

/** What a config file of `--from` or `--to` says. */
export interface ConfigStorage {
  readonly storage: StorageDescription
  readonly settings: Settings
}

/**
 * Reads the storages of two config files, each on its own; settings without `WALG_` in front may come from the process.
 * Both share one limit of the network and of memory.
 */
export async function readConfigStorages(
  invocation: Invocation,
  paths: { readonly from: string; readonly to: string },
): Promise<{ readonly from: ConfigStorage; readonly to: ConfigStorage }> {
  const limits = await sharedLimitsOf(invocation.settings, true)
  await endWaitsOnAbort(limits, invocation.signal)
  const read = (path: string, name: string): Promise<ConfigStorage> => readOne(invocation, path, name, limits)
  return { from: await read(paths.from, 'source'), to: await read(paths.to, 'destination') }
}

async function readOne(
  invocation: Invocation,
  path: string,
  name: string,
  limits: SharedLimits,
): Promise<ConfigStorage> {
  if (path === '') throw notConfigured(path)
  const file = await readConfigFile(path)
  const { settings, problems, unknownKeys } = readSettings({ flags: new Map(), environment: {}, file })
  const texts = textsOfRecord(Object.fromEntries(file.values), path, invocation.texts)
  const reading = await readStorage(texts)
  const unknown = unknownKeys.map(key => `${key} is unknown (${path})`)
  for (const warning of [...unknown, ...reading.warnings]) invocation.log.warning(warning)
  throwProblems(path, [...problems, ...reading.problems])
  if (reading.description === undefined) throw notConfigured(path)
  const { WALG_STALL_TIMEOUT } = invocation.settings
  const storage = describeStorage(
    name,
    reading.description,
    settings.WALG_STORAGE_PREFIX,
    { ...settings, WALG_STALL_TIMEOUT },
    limits,
  )
  return { storage, settings }
}

/** The codec that a config file describes. */
export async function readConfigCodec(
  { settings }: ConfigStorage,
  path: string,
  isForReading: boolean,
): Promise<CodecDescription> {
  const encryption = await describeEncryption(settings, isForReading)
  throwProblems(path, encryption.problems)
  return describeCodec(settings, encryption.description)
}

function throwProblems(path: string, problems: readonly SettingProblem[]): void {
  const [first, ...others] = problems
  if (first === undefined) return
  const more = others.map(({ message }) => `; ${message}`).join('')
  throw new WalgError(
    first.code,
    `Failed configure folder according to config ${path}: ${first.message}${more}`,
    {
      ...(first.hint === undefined ? {} : { hint: first.hint }),
    },
  )
}

function notConfigured(path: string): WalgError {
  return new WalgError(
    'SETTING_MISSING',
    `Failed configure folder according to config ${path}: No storage is configured now, please set one of following settings: [${STORAGE_PREFIX_NAMES.join(' ')}]`,
    { hint: 'the prefix must stand in the file itself' },
  )
}
