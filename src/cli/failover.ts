import type { Logger } from '../kit/log.ts'
import { fillGaps, mirrorDown, mirrorMissing } from '../operations/mirror/fill-gaps.ts'
import type { StorageDescription } from '../storage/description.ts'
import { probedStatus, withResult } from '../storage/failover/aliveness.ts'
import {
  type AliveStorages,
  findAlive,
  limitsOf,
  noneAlive,
  type OpenedStorage,
  statusKey,
} from '../storage/failover/find-alive.ts'
import { countGaps, gapFile, hasGaps } from '../storage/failover/mirror-gaps.ts'
import { openMirrorWatch } from '../storage/failover/mirror-watch.ts'
import { doubted, openStatusCache, type StatusCache } from '../storage/failover/status-cache.ts'
import { isStorageTrouble } from '../storage/failover/storage-trouble.ts'
import { withCopies } from '../storage/layers/copies.ts'
import { withOutcomes } from '../storage/layers/outcomes.ts'
import type { Storage } from '../storage/storage.ts'
import type { FetchStorages, PushStorage } from './command.ts'
import { stateFolder } from './configuration/state-folder.ts'
import type { Settings } from './settings.ts'

/** What this file needs to know of a call. */
export interface FailoverContext {
  readonly descriptions: readonly StorageDescription[]
  /** The storage that is asked for by name. */
  readonly target: string | undefined
  readonly settings: Settings
  readonly log: Logger
  readonly signal: AbortSignal
  /** See `OpenOptions`: a look that is denied says nothing against the storage. */
  readonly mayBeUnseen: boolean
  /** Opens a storage and makes sure that its root answers. */
  open(description: StorageDescription, options?: { readonly mayCreate?: boolean }): Promise<Storage>
}

/** A wal-push may go on so long bringing mirrors what they missed: the server waits for it. */
const WAL_FILL = { objectsMax: 32, budgetMs: 500 }

/**
 * The storage that a push goes to: the one asked for, or the first that is alive and no mirror, and with it every mirror.
 * Throws NO_STORAGE_ALIVE, and STORAGE_UNAVAILABLE for a mirror that must take part and does not answer.
 */
export async function openForPush(context: FailoverContext): Promise<PushStorage> {
  const { descriptions, target, settings } = context
  const names = settings.WALG_MIRROR_STORAGES.filter(name => name !== target)
  const health = openHealth(context, 'rw')
  const candidates = descriptions.filter(({ name }) =>
    target === undefined ? !names.includes(name) : name === target,
  )
  const mirrors = descriptions.filter(({ name }) => names.includes(name))
  const isRequired = settings.WALG_MIRROR_REQUIRED
  const found = await find(context, health, candidates, {
    isChecked: target === undefined,
    isFirstEnough: true,
  })
  const others =
    mirrors.length === 0 ? NONE : await find(context, health, mirrors, { isInsistent: isRequired })
  const [deadMirror] = others.dead
  if (isRequired && deadMirror !== undefined) {
    throw mirrorDown(deadMirror.description.name, deadMirror.error)
  }
  const [alive] = found.alive
  // Where nothing but a mirror is left it stands in, and the primary storage is what misses something.
  const first = alive ?? (isRequired ? undefined : others.alive[0])
  if (first === undefined) throw noneAlive([...found.dead, ...others.dead])
  const missing = alive === undefined ? candidates.slice(0, 1) : []
  const rest = others.alive.filter(mirror => mirror !== first)
  const down = [...others.dead.map(({ description }) => description), ...missing]
  const push =
    rest.length === 0 && down.length === 0
      ? lonely(first, health)
      : mirrored(context, health, first, rest, down)
  if (target !== undefined) return push
  const further = descriptions.filter(({ name }) => name !== first.description.name && !names.includes(name))
  return withElsewhere(context, push, further)
}

/** What further storages have is looked up by a push that may not contradict it; one that does not answer is left out. */
function withElsewhere(
  context: FailoverContext,
  push: PushStorage,
  descriptions: readonly StorageDescription[],
): PushStorage {
  if (descriptions.length === 0) return push
  const health = openHealth(context, 'ro')
  let opening: Promise<readonly OpenedStorage[]> | undefined
  return {
    ...push,
    elsewhere: () => (opening ??= openElsewhere(context, health, descriptions)),
    async end(failure) {
      const opened = (await opening?.catch(() => [])) ?? []
      for (const { storage } of opened) await storage.close()
      if (opening !== undefined) await health.flush()
      await push.end(failure)
    },
  }
}

async function openElsewhere(
  context: FailoverContext,
  { mode, cache, watch }: Health,
  descriptions: readonly StorageDescription[],
): Promise<readonly OpenedStorage[]> {
  const { settings, log, signal } = context
  const { alive } = await findAlive({
    descriptions,
    mode,
    isFirstEnough: false,
    settings,
    cache,
    open: description => context.open(description, { mayCreate: false }),
    log: { ...log, error: text => log.warning(`${text}; what is pushed is not compared with what it has`) },
    signal,
  })
  return alive.map(({ storage, description }) => ({ description, storage: watch(storage, description) }))
}

/** The storages that a fetch looks into, those that are alive. Throws NO_STORAGE_ALIVE. */
export async function openForFetch(context: FailoverContext): Promise<FetchStorages> {
  return openAll(context, 'ro')
}

/** The storages that delete works on. */
export async function openForDelete(context: FailoverContext): Promise<FetchStorages> {
  return openAll({ ...context, target: undefined }, 'rw')
}

const NONE: AliveStorages = { alive: [], dead: [] }

async function openAll(context: FailoverContext, mode: 'ro' | 'rw'): Promise<FetchStorages> {
  const { descriptions, target } = context
  const health = openHealth(context, mode)
  const chosen = descriptions.filter(({ name }) => target === undefined || name === target)
  const { alive, dead } = await find(context, health, chosen, { isChecked: target === undefined })
  const [first, ...others] = alive
  if (first === undefined) throw noneAlive(dead)
  const all = [first, ...others] as const
  return {
    first,
    others,
    merged:
      others.length === 0 ? first.storage : withCopies([first.storage, ...others.map(each => each.storage)]),
    dead: dead.map(({ description }) => description),
    end: async failure => {
      await health.end(failure)
      for (const { storage } of all) await storage.close()
    },
  }
}

interface FindOptions {
  /** False for a storage that is asked for by name: it is used without further questions, its failure is the command's. */
  readonly isChecked?: boolean
  readonly isFirstEnough?: boolean
  readonly isInsistent?: boolean
}

/** Those that are alive. Before none is, also those are asked that were not alive lately. */
async function find(
  context: FailoverContext,
  health: Health,
  descriptions: readonly StorageDescription[],
  { isChecked = true, isFirstEnough = false, isInsistent = false }: FindOptions,
): Promise<AliveStorages> {
  const { settings, log, signal, mayBeUnseen } = context
  if (!isChecked || !health.isOn) {
    const used = isFirstEnough ? descriptions.slice(0, 1) : descriptions
    const alive: OpenedStorage[] = []
    for (const description of used) {
      alive.push({ description, storage: health.watch(await context.open(description), description) })
    }
    return { alive, dead: [] }
  }
  const { mode, cache } = health
  const open = (description: StorageDescription): Promise<Storage> => context.open(description)
  const request = { descriptions, mode, isFirstEnough, settings, cache, open, log, signal, mayBeUnseen }
  let found = await findAlive({ ...request, isInsistent })
  if (found.alive.length === 0 && found.dead.some(each => each.isRemembered))
    found = await findAlive({ ...request, isInsistent: true })
  if (found.dead.length > 0) await health.flush()
  return {
    ...found,
    alive: found.alive.map(({ storage, description }) => ({
      description,
      storage: health.watch(storage, description),
    })),
  }
}

/** What is known of the health of storages, and what this run finds out. */
interface Health {
  readonly isOn: boolean
  readonly mode: 'ro' | 'rw'
  readonly cache: StatusCache | undefined
  watch(storage: Storage, description: StorageDescription): Storage
  flush(): Promise<void>
  /** Keeps what was found out; a storage that made the command fail is asked before the next one uses it. */
  end(failure: unknown): Promise<void>
}

function openHealth(
  { settings, descriptions, log, mayBeUnseen }: FailoverContext,
  mode: 'ro' | 'rw',
): Health {
  const isOn = settings.WALG_FAILOVER_STORAGES_CHECK ?? descriptions.length > 1
  if (!isOn) {
    const nothing = async (): Promise<void> => {}
    return { isOn, mode, cache: undefined, watch: storage => storage, flush: nothing, end: nothing }
  }
  const cache = openStatusCache(stateFolder(`.walg_storage_${mode}_status_cache`))
  const limits = limitsOf(settings)
  const flush = (): Promise<void> =>
    cache.flush(reason => log.warning(`the status of storages cannot be kept: ${reason}`))
  return {
    isOn,
    mode,
    cache,
    watch(storage, description) {
      const key = statusKey(description)
      let hasFailed = false
      return withOutcomes(
        storage,
        outcome => {
          const status = cache.get(key) ?? probedStatus(true, Date.now())
          hasFailed ||= !outcome.isSuccess
          const next = withResult(status, outcome, limits, Date.now())
          // After a failure the next command asks the storage itself.
          cache.set(key, hasFailed ? doubted(next) : next)
        },
        { mayBeUnseen },
      )
    },
    flush,
    async end(failure) {
      const name = isStorageTrouble(failure) ? failure.facts['storage'] : undefined
      const blamed = descriptions.find(description => description.name === name)
      const status = blamed === undefined ? undefined : cache.get(statusKey(blamed))
      if (blamed !== undefined && status !== undefined) cache.set(statusKey(blamed), doubted(status))
      await flush()
    },
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function lonely(first: OpenedStorage, health: Health): PushStorage {
  return {
    storage: first.storage,
    storageDescription: first.description,
    elsewhere: async () => [],
    fillMirrors: async () => {},
    end: async failure => {
      await health.end(failure)
      await first.storage.close()
    },
  }
}

function mirrored(
  context: FailoverContext,
  health: Health,
  first: OpenedStorage,
  rest: readonly OpenedStorage[],
  down: readonly StorageDescription[],
): PushStorage {
  const { settings, log, signal } = context
  const descriptions = [...rest.map(({ description }) => description), ...down]
  const folder = stateFolder('.walg_mirror_gaps')
  const gapFiles = descriptions.map(each => gapFile(folder, first.description, each))
  const outages = new SharedArrayBuffer(4 * descriptions.length)
  const words = new Int32Array(outages)
  for (const [at] of down.entries()) words[rest.length + at] = 1
  const isRequired = settings.WALG_MIRROR_REQUIRED
  const mirrors = { outages, gapFiles }
  const watch = isRequired ? undefined : openMirrorWatch(mirrors)
  // A storage that is down is never asked; the first stands in its place.
  const storages = [...rest.map(({ storage }) => storage), ...down.map(() => first.storage)]
  const storage = withCopies([first.storage, ...storages], watch)
  const report = (): void => {
    for (const [at, { name }] of descriptions.entries()) {
      if (words[at] === 0 || !hasGaps(gapFiles[at]!)) continue
      log.warning(mirrorMissing(name, countGaps(gapFiles[at]!)))
    }
  }
  return {
    storage,
    storageDescription: {
      ...first.description,
      copies: { storages: descriptions, ...(isRequired ? {} : { mirrors }) },
    },
    elsewhere: async () => [],
    async fillMirrors(isWal) {
      const up = [first, ...rest.filter((_, at) => words[at] === 0)]
      for (const { storage: mirror, description } of up) {
        for (const { storage: source, description: from } of up) {
          const file = gapFile(folder, from, description)
          if (mirror === source || !hasGaps(file)) continue
          try {
            await fillGaps({ source, mirror, log, signal }, file, isWal ? WAL_FILL : {})
          } catch (error) {
            if (signal.aborted || (!isWal && watch === undefined)) throw error
            log.warning(`mirror "${description.name}" cannot be brought what it missed: ${messageOf(error)}`)
            storage.copies?.giveUp(mirror, error)
          }
          signal.throwIfAborted()
        }
      }
    },
    async end(failure) {
      report()
      await health.end(failure)
      await storage.close()
    },
  }
}
