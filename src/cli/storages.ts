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
  const isRemote = drivers.some(({ driver }) => driver.kind !== 'fs')
  const limits = await sharedLimitsOf(settings, isRemote)
  const descriptions = drivers.map(({ name, driver }) =>
    describeStorage(name, driver, settings.WALG_STORAGE_PREFIX, settings, limits),
  )
  return { descriptions, problems, warnings }
}

async function readPrimary(texts: SettingTexts): Promise<DriverReading<DriverDescription>> {
  const { readStorage } = await import('../storage/read-storage.ts')
  const reading = await readStorage(texts)
  const isMissing = reading.description === undefined && reading.problems.length === 0
  return isMissing ? { ...reading, problems: [NO_STORAGE] } : reading
}

/** What all storages and threads of this process share: the rate of the network, the memory of bytes in flight. */
export type SharedLimits = Pick<StorageDescription, 'networkLimit' | 'memoryBudget'>

/** Only what the settings ask for and the storages need is loaded; `isRemote`: not all of them are directories. */
export async function sharedLimitsOf(settings: Settings, isRemote: boolean): Promise<SharedLimits> {
  const bytesPerSecond = settings.WALG_NETWORK_RATE_LIMIT
  if (bytesPerSecond === undefined && !isRemote) return {}
  const { createMemoryBudget, createRateLimit } = await import('../kit/limits.ts')
  const networkLimit = bytesPerSecond === undefined ? {} : { networkLimit: createRateLimit(bytesPerSecond) }
  if (!isRemote) return networkLimit
  const { defaultMemoryLimitBytes } = await import('../storage/memory-limit.ts')
  const limitBytes = settings.WALG_MEMORY_LIMIT ?? defaultMemoryLimitBytes()
  return { ...networkLimit, memoryBudget: createMemoryBudget(limitBytes) }
}

/** Whoever waits for the rate of the network, in any thread, is not kept by it when the command is told to stop. */
export async function endWaitsOnAbort({ networkLimit }: SharedLimits, signal: AbortSignal): Promise<void> {
  if (networkLimit === undefined) return
  const { stopRateLimit } = await import('../kit/limits.ts')
  signal.addEventListener('abort', () => stopRateLimit(networkLimit), { once: true })
}

/** A storage as data. */
export function describeStorage(
  name: string,
  driver: DriverDescription,
  prefix: string,
  settings: Settings,
  limits: SharedLimits,
): StorageDescription {
  return {
    name,
    driver,
    prefix,
    stallTimeoutMs: settings.WALG_STALL_TIMEOUT,
    ...limits,
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
