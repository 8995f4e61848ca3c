import type { RateLimit } from '../kit/limits.ts'
import type { SettingProblem, SettingTexts } from '../kit/settings.ts'
import type { DriverDescription, StorageDescription } from '../storage/description.ts'
import type { DriverReading } from '../storage/driver-reading.ts'
import type { Settings } from './settings.ts'

/** All storages that the settings name, the primary first. */
export interface StoragesReading {
  readonly descriptions: readonly StorageDescription[]
  /** Everything that is wrong; no work may begin. */
  readonly problems: readonly SettingProblem[]
  readonly warnings: readonly string[]
}

const NO_STORAGE: SettingProblem = {
  code: 'SETTING_MISSING',
  names: ['WALG_FILE_PREFIX'],
  message: 'Failed to find any configured storage',
  hint: 'set WALG_FILE_PREFIX to the directory of the repository',
}

/** Reads the primary storage and, when there are any, the failover storages. All share one limit of the network. */
export async function readStorages(texts: SettingTexts, settings: Settings): Promise<StoragesReading> {
  const primary = await readPrimary(texts)
  const problems = [...primary.problems]
  const warnings = [...primary.warnings]
  const drivers: { name: string; driver: DriverDescription }[] = []
  if (primary.description !== undefined) drivers.push({ name: 'default', driver: primary.description })
  if (settings.WALG_FAILOVER_STORAGES !== undefined) {
    const { readFailovers } = await import('../storage/failover/read-failovers.ts')
    const failovers = await readFailovers(settings.WALG_FAILOVER_STORAGES, texts)
    problems.push(...failovers.problems)
    warnings.push(...failovers.warnings)
    drivers.push(...failovers.storages)
  }
  const networkLimit = await networkLimitOf(settings)
  const descriptions = drivers.map(({ name, driver }) =>
    describeStorage(name, driver, settings.WALG_STORAGE_PREFIX, settings, networkLimit),
  )
  return { descriptions, problems, warnings }
}

async function readPrimary(texts: SettingTexts): Promise<DriverReading<DriverDescription>> {
  const { readStorage } = await import('../storage/read-storage.ts')
  const reading = await readStorage(texts)
  const isMissing = reading.description === undefined && reading.problems.length === 0
  return isMissing ? { ...reading, problems: [NO_STORAGE] } : reading
}

/** The rate that all storages and threads of this process share; undefined for none. */
export async function networkLimitOf(settings: Settings): Promise<RateLimit | undefined> {
  const bytesPerSecond = settings.WALG_NETWORK_RATE_LIMIT
  if (bytesPerSecond === undefined) return undefined
  return (await import('../kit/limits.ts')).createRateLimit(bytesPerSecond)
}

/** A storage as data. */
export function describeStorage(
  name: string,
  driver: DriverDescription,
  prefix: string,
  settings: Settings,
  networkLimit: RateLimit | undefined,
): StorageDescription {
  return {
    name,
    driver,
    prefix,
    stallTimeoutMs: settings.WALG_STALL_TIMEOUT,
    ...(networkLimit === undefined ? {} : { networkLimit }),
  }
}

/** The storage that is asked for by name; undefined for no wish. The flag wins. */
export function targetNameOf(flag: string | undefined, settings: Settings): string | undefined {
  const name = flag ?? settings.WALG_TARGET_STORAGE
  return name === '' ? undefined : name
}

/** What is wrong with the wish. */
export function targetProblem(flag: string | undefined, settings: Settings): SettingProblem | undefined {
  const name = targetNameOf(flag, settings)
  const known = ['default', ...Object.keys(settings.WALG_FAILOVER_STORAGES ?? {}).sort()]
  if (name === undefined || known.includes(name)) return undefined
  return {
    code: 'SETTING_INVALID',
    names: [flag === undefined ? 'WALG_TARGET_STORAGE' : '--target-storage'],
    message: `unknown storage "${name}"`,
    hint: `there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ')}`,
  }
}
