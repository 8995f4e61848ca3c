import { readFileSync } from 'node:fs'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { errnoOf } from '../../kit/errors.ts'
import type { StorageStatus } from './aliveness.ts'

/** What earlier runs found out about storages, in the file and the form of the original (commands 6.1). */
export interface StatusCache {
  get(key: string): StorageStatus | undefined
  set(key: string, status: StorageStatus): void
  /**
   * Writes what was set, over what is in the file by then, whole or not at all. A cache that cannot be written is told
   * by `onFailure`: it costs a probe, no more.
   */
  flush(onFailure: (reason: string) => void): Promise<void>
}

interface StoredStatus {
  readonly potential_aliveness: number
  readonly actual_aliveness: number
  readonly previous_aliveness: boolean
  readonly updated: string
  /** Ours. */
  readonly probe_ms?: number
}

/** Reads the file; one that is missing or damaged is empty. */
export function openStatusCache(path: string): StatusCache {
  const known = readStatuses(path)
  const own = new Map<string, StorageStatus>()
  return {
    get: key => own.get(key) ?? known.get(key),
    set(key, status) {
      own.set(key, status)
    },
    async flush(onFailure) {
      if (own.size === 0) return
      const all = readStatuses(path)
      for (const [key, status] of own) {
        const there = all.get(key)
        if (there === undefined || there.updatedMs <= status.updatedMs || isDoubt(status))
          all.set(key, status)
      }
      const document = Object.fromEntries([...all].map(([key, status]) => [key, stored(status)]))
      try {
        await writeFileDurably(path, JSON.stringify(document), { mode: 0o644, isDurable: false })
        own.clear()
      } catch (error) {
        onFailure(error instanceof Error ? error.message : String(error))
      }
    },
  }
}

/** A status that is as old as can be: the next command probes. */
export function doubted(status: StorageStatus): StorageStatus {
  return { ...status, updatedMs: 0 }
}

function isDoubt({ updatedMs }: StorageStatus): boolean {
  return updatedMs === 0
}

function readStatuses(path: string): Map<string, StorageStatus> {
  const statuses = new Map<string, StorageStatus>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) !== undefined) return statuses
    throw error
  }
  for (const [key, value] of entriesOf(text)) {
    const status = value as Partial<StoredStatus>
    const updatedMs = Date.parse(String(status.updated))
    if (typeof status.potential_aliveness !== 'number' || typeof status.actual_aliveness !== 'number')
      continue
    if (typeof status.previous_aliveness !== 'boolean' || Number.isNaN(updatedMs)) continue
    statuses.set(key, {
      potential: status.potential_aliveness,
      actual: status.actual_aliveness,
      wasAlive: status.previous_aliveness,
      updatedMs,
      ...(typeof status.probe_ms === 'number' ? { probeMs: status.probe_ms } : {}),
    })
  }
  return statuses
}

function entriesOf(text: string): [string, unknown][] {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? Object.entries(value) : []
  } catch {
    return []
  }
}

function stored({ potential, actual, wasAlive, updatedMs, probeMs }: StorageStatus): StoredStatus {
  return {
    potential_aliveness: potential,
    actual_aliveness: actual,
    previous_aliveness: wasAlive,
    updated: new Date(updatedMs).toISOString(),
    ...(probeMs === undefined ? {} : { probe_ms: Math.round(probeMs) }),
  }
}
