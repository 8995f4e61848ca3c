import { createHash } from 'node:crypto'
import { withDeadline } from '../../kit/deadline.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import type { StorageDescription } from '../description.ts'
import type { Storage } from '../storage.ts'
import { type AlivenessLimits, isAlive, probedStatus } from './aliveness.ts'
import type { FailoverSettings } from './settings.ts'
import type { StatusCache } from './status-cache.ts'
import { probeWriting } from './write-probe.ts'

/** A storage that answers, open. */
export interface OpenedStorage {
  readonly storage: Storage
  readonly description: StorageDescription
}

/** A storage that does not, and why. */
export interface DeadStorage {
  readonly description: StorageDescription
  readonly error: WalgError
  /** It was not asked now. */
  readonly isRemembered?: boolean
}

export interface AliveStorages {
  /** In the order in which they are tried. */
  readonly alive: readonly OpenedStorage[]
  readonly dead: readonly DeadStorage[]
}

export interface AliveRequest {
  readonly descriptions: readonly StorageDescription[]
  /** `rw`: a storage that cannot be written to is dead. */
  readonly mode: 'ro' | 'rw'
  /** Stops at the first that is alive. */
  readonly isFirstEnough: boolean
  readonly settings: FailoverSettings
  /** Undefined: nothing is probed or remembered, all are taken for alive. */
  readonly cache: StatusCache | undefined
  /** Opens a storage and makes sure that its root answers. */
  readonly open: (description: StorageDescription) => Promise<Storage>
  readonly log: Logger
  readonly signal: AbortSignal
  readonly nowMs?: () => number
  /** A storage that may be there to be written only: that its probe cannot be removed says nothing against it. */
  readonly mayBeUnseen?: boolean
  /** Asks also those that were not alive lately: the command cannot do without them. */
  readonly isInsistent?: boolean
}

/** A probe that failed faster than this costs nothing: it is tried again by every command. */
const QUICK_PROBE_MS = 1000

/**
 * Opens the storages that are alive: by what earlier runs found out, or by a probe where that is not known or too long
 * ago. Also a storage that was alive must answer now. Each dead one is told by an ERROR. Never throws for one of them.
 */
export async function findAlive(request: AliveRequest): Promise<AliveStorages> {
  const alive: OpenedStorage[] = []
  const dead: DeadStorage[] = []
  const note = (found: OpenedStorage | DeadStorage): void => {
    if ('storage' in found) alive.push(found)
    else {
      dead.push(found)
      request.log.error(`Storage "${found.description.name}" is not alive: ${found.error.message}`)
    }
  }
  if (request.isFirstEnough) {
    for (const description of request.descriptions) {
      note(await judge(request, description))
      if (alive.length > 0) break
    }
  } else {
    const found = await Promise.all(request.descriptions.map(description => judge(request, description)))
    for (const each of found) note(each)
  }
  return { alive, dead }
}

/** Names the storage and everything that makes it another one, without secrets. */
export function statusKey({ name, driver, prefix }: StorageDescription): string {
  const hash = createHash('md5')
    .update(JSON.stringify([driver, prefix]))
    .digest('hex')
  return `${name}#${hash}`
}

export function limitsOf(settings: FailoverSettings): AlivenessLimits {
  return {
    aliveLimit: settings.WALG_FAILOVER_STORAGES_CACHE_EMA_ALIVE_LIMIT,
    deadLimit: settings.WALG_FAILOVER_STORAGES_CACHE_EMA_DEAD_LIMIT,
    alphaAliveMax: settings.WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MAX,
    alphaAliveMin: settings.WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_ALIVE_MIN,
    alphaDeadMax: settings.WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MAX,
    alphaDeadMin: settings.WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MIN,
  }
}

async function judge(
  request: AliveRequest,
  description: StorageDescription,
): Promise<OpenedStorage | DeadStorage> {
  const { cache, settings } = request
  const nowMs = (request.nowMs ?? Date.now)()
  const key = statusKey(description)
  const status = cache?.get(key)
  const ageMs = nowMs - (status?.updatedMs ?? 0)
  const isKnown = status !== undefined && ageMs >= 0 && ageMs < settings.WALG_FAILOVER_STORAGES_CACHE_LIFETIME
  const isDead = isKnown && !isAlive(status, limitsOf(settings))
  const isSlow = (status?.probeMs ?? QUICK_PROBE_MS) >= QUICK_PROBE_MS
  if (isDead && isSlow && request.isInsistent !== true) {
    return { description, error: stillDead(description, ageMs), isRemembered: true }
  }
  const isProbed = cache !== undefined && (!isKnown || isDead)
  const beganMs = performance.now()
  let storage: Storage | undefined
  try {
    storage = await openInTime(request, description, cache !== undefined)
    if (isProbed && request.mode === 'rw') await probe(request, storage)
    if (isProbed) cache.set(key, probedStatus(true, nowMs))
    return { storage, description }
  } catch (error) {
    if (request.signal.aborted || !(error instanceof WalgError)) throw error
    await storage?.close()
    cache?.set(key, probedStatus(false, nowMs, performance.now() - beganMs))
    return { description, error }
  }
}

/** Opening is a probe, too; one that comes back too late is closed then. */
async function openInTime(
  request: AliveRequest,
  description: StorageDescription,
  isBounded: boolean,
): Promise<Storage> {
  if (!isBounded) return request.open(description)
  const timeoutMs = request.settings.WALG_FAILOVER_STORAGES_CHECK_TIMEOUT
  let isLate = false
  const opening = request.open(description).then(storage => {
    if (isLate) void storage.close()
    return storage
  })
  return withDeadline(opening, {
    timeoutMs,
    onTimeout: () => {
      isLate = true
      return tooSlow(description.name, timeoutMs)
    },
  })
}

async function probe(request: AliveRequest, storage: Storage): Promise<void> {
  const { settings, signal, mayBeUnseen: mayStay = false } = request
  const timeoutMs = settings.WALG_FAILOVER_STORAGES_CHECK_TIMEOUT
  const sizeBytes = settings.WALG_FAILOVER_STORAGES_CHECK_SIZE
  const stop = new AbortController()
  const options = { signal: AbortSignal.any([signal, stop.signal]), mayStay }
  const probing = probeWriting(storage, sizeBytes, options)
  await withDeadline(probing, {
    timeoutMs,
    onTimeout: () => {
      const error = tooSlow(storage.name, timeoutMs)
      stop.abort(error)
      return error
    },
  })
}

function tooSlow(name: string, timeoutMs: number): WalgError {
  return new WalgError(
    'TIMEOUT',
    `storage "${name}" gave no answer to a probe within ${timeoutMs / 1000} s`,
    {
      facts: { storage: name, timeoutMs },
      hint: 'WALG_FAILOVER_STORAGES_CHECK_TIMEOUT is for a storage that is only slow',
    },
  )
}

function stillDead({ name }: StorageDescription, ageMs: number): WalgError {
  const seconds = Math.round(ageMs / 1000)
  return new WalgError('STORAGE_UNAVAILABLE', `it was not ${seconds} s ago, and is not asked again yet`, {
    facts: { storage: name },
    hint: 'WALG_FAILOVER_STORAGES_CACHE_LIFETIME says how long that is believed',
  })
}

/** The failure of a command for which no storage is left. */
export function noneAlive(dead: readonly DeadStorage[]): WalgError {
  return new WalgError('NO_STORAGE_ALIVE', 'no alive storages', {
    facts: { storages: dead.map(({ description }) => description.name).join(', ') },
    ...(dead[0] === undefined ? {} : { cause: dead[0].error }),
    hint: 'the ERROR lines above say what is wrong with each of them',
  })
}
