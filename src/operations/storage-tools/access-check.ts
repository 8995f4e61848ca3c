import { randomHex } from '../../kit/atomic-file.ts'
import { streamOf } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { normalizePrefix } from '../../storage/keys.ts'
import { statIfThere } from '../../storage/requests/stat-if-there.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'

/** The clean-up of a failed check must not outlast it by much. */
const CLEAN_UP_TIMEOUT_MS = 30_000

/** The root answers, and every one of `paths` is an object or a folder with something in it; else OBJECT_NOT_FOUND. */
export async function checkReadable(
  storage: Storage,
  paths: readonly string[],
  options: Abortable,
): Promise<void> {
  await storage.checkRoot(options)
  const missing: string[] = []
  for (const path of paths) if (!(await isThere(storage, normalizePrefix(path), options))) missing.push(path)
  if (missing.length === 0) return
  throw new WalgError('OBJECT_NOT_FOUND', `files are missing: ${missing.join(', ')}`, {
    facts: { storage: storage.name, missing: missing.length },
  })
}

async function isThere(storage: Storage, key: string, options: Abortable): Promise<boolean> {
  if (key === '' || (await statIfThere(storage, key, options)) !== undefined) return true
  for await (const _ of storage.list(key, options)) return true
  return false
}

/** Puts an object with a name of its own, sees it and removes it again; nothing remains, also when the check fails. */
export async function checkWritable(storage: Storage, options: Abortable): Promise<void> {
  const key = `${randomHex()}${randomHex()}`
  const failures: unknown[] = []
  try {
    await storage.put(key, streamOf(new TextEncoder().encode('test')), options)
    await storage.stat(key, options)
  } catch (error) {
    failures.push(error)
  }
  try {
    // By a signal of its own: a check that was interrupted still cleans up.
    await storage.delete([key], { signal: AbortSignal.timeout(CLEAN_UP_TIMEOUT_MS) })
  } catch (error) {
    failures.push(error)
  }
  if (failures.length > 1) throw new AggregateError(failures, 'the check and its clean-up failed')
  if (failures.length === 1) throw failures[0]
}
