import type { Codec } from '../../../codec/codec.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { WalSource } from '../wal-source.ts'

export function different(storage: Storage, source: WalSource, key: string): WalgError {
  return new WalgError(
    'WAL_OVERWRITE',
    `WAL file '${source.path}' already archived, contents differ, unable to overwrite`,
    {
      facts: { key, storage: storage.name, file: source.path },
      hint: differentHint(source.name),
    },
  )
}

/** What switches the guard off does so for everything but histories. */
function differentHint(name: string): string {
  const cause = 'two clusters may be archiving to the same place; if the archived one is wrong, remove it'
  return name.endsWith('.history') ? cause : `${cause} or set WALG_PREVENT_WAL_OVERWRITE=false for one push`
}

export function unreadable(source: WalSource, key: string, cause: WalgError): WalgError {
  return new WalgError(
    'WAL_OVERWRITE',
    `WAL file '${source.path}' is already archived as "${key}", which cannot be read to compare: ${cause.message}`,
    {
      facts: { key, file: source.path },
      cause,
      hint: 'give this user the key and the permission to read, or check by hand and remove the object',
    },
  )
}

/** A name that may not be looked up is taken. */
export function unseenExists(storage: Storage, source: WalSource, cause: WalgError): WalgError {
  return new WalgError(
    'WAL_OVERWRITE',
    `WAL file '${source.path}' is already archived, and this user may not read it to compare: histories are never replaced`,
    {
      facts: { storage: storage.name, file: source.path },
      cause,
      hint: 'compare it as a user who may read; if it is wrong, or the same, remove it there and the next push goes through',
    },
  )
}

/** Histories are guarded also where the guard is switched off, and here nothing can guard them. */
export function unseenUnguarded(storage: Storage, source: WalSource): WalgError {
  return new WalgError(
    'ACCESS_DENIED',
    `WAL file '${source.path}' cannot be archived: storage "${storage.name}" denies looking whether it has a history of that name, and knows no put that is refused where it has`,
    {
      facts: { storage: storage.name, file: source.path },
      hint: 'give this user the permission to list and to read: histories are never replaced, WALG_PREVENT_WAL_OVERWRITE=false or not',
    },
  )
}

export function damaged(
  codec: Codec,
  storage: Storage,
  source: WalSource,
  key: string,
  cause: WalgError,
): WalgError {
  // without compression it is the pages of a segment that are not recognised
  const isNoise =
    hasCode(cause, 'FORMAT_INVALID', 'FORMAT_TRUNCATED') ||
    (hasCode(cause, 'WAL_INVALID') && key.endsWith(source.name))
  const mayBeSealed = isNoise && codec.readsPlain
  const action = `see with "wal-g verify" what else is damaged, remove this object by hand ("wal-g st rm ${key}") and push again`
  return new WalgError(
    'WAL_OVERWRITE',
    `WAL file '${source.path}' is already archived as "${key}", and that object is damaged: ${cause.message}`,
    {
      facts: { key, storage: storage.name, file: source.path },
      cause,
      hint: mayBeSealed ? `if the archive is encrypted, set its key; if not, ${action}` : action,
    },
  )
}
