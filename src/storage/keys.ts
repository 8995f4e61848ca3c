import { WalgError } from '../kit/errors.ts'

/** The form of our temporaries and of the original's: hidden from listings, so never the name of an object. */
const TEMPORARY_NAME = /\.tmp\.\d{8}T\d{6}Z-[0-9a-f]{16}$/

/**
 * Throws KEY_REFUSED unless `key` is relative, `/`-separated, without empty, `.` or `..` components, without
 * NUL, and not the name of a temporary. `storage` is named in the message.
 */
export function checkKey(key: string, storage: string): void {
  const reason = key === '' ? 'it is empty' : refusal(key)
  if (reason !== undefined) throw refuse(key, storage, reason)
}

/** `checkKey` for the prefix of a listing, where `''` means the root. */
export function checkPrefix(prefix: string, storage: string): void {
  const reason = prefix === '' ? undefined : refusal(prefix)
  if (reason !== undefined) throw refuse(prefix, storage, reason)
}

/** True for names like `x.tmp.20261122T101112Z-0123456789abcdef`. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY_NAME.test(name)
}

/** `.tmp.<UTC time>-<16 hex digits>`: the original hides exactly this form from its listings (storage-format 7.3). */
export function temporarySuffix(atMs: number = Date.now()): string {
  const time = new Date(atMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const random = crypto.getRandomValues(new Uint8Array(8))
  return `.tmp.${time}-${Buffer.from(random).toString('hex')}`
}

/** The time in the name of a temporary; undefined when it is none. */
export function temporaryTimeMs(name: string): number | undefined {
  if (!isTemporaryName(name)) return undefined
  const [, y, mo, d, h, mi, s] = /\.(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[0-9a-f]{16}$/.exec(name) ?? []
  const timeMs = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`)
  return Number.isNaN(timeMs) ? undefined : timeMs
}

/** Cuts a configured folder into the form of a prefix: no empty components, no `/` at the ends (storage-format 7.1). */
export function normalizePrefix(text: string): string {
  return text
    .split('/')
    .filter(component => component !== '')
    .join('/')
}

/** `prefix/key`, or `key` below the root. */
export function joinKey(prefix: string, key: string): string {
  return prefix === '' ? key : `${prefix}/${key}`
}

/** What the names of everything below the folder `prefix` of a storage begin with: '', or with a `/` at its end. */
export function listingStart(root: string, prefix: string): string {
  const folder = joinKey(root, prefix).replace(/\/$/, '')
  return folder === '' ? '' : `${folder}/`
}

/**
 * The key of an object that a listing of the prefix `start` (with its trailing `/`) names in full; undefined for names
 * that are no keys, such as the marker of a folder.
 */
export function keyBelowRoot(name: string, start: string, root: string): string | undefined {
  const components = name.slice(start.length).split('/')
  if (components.some(component => component === '' || component === '.' || component === '..'))
    return undefined
  return root === '' ? name : name.slice(root.length + 1)
}

function refusal(key: string): string | undefined {
  if (key.includes('\0')) return 'it contains a NUL character'
  if (!key.isWellFormed()) return 'it is not well-formed Unicode'
  for (const component of key.split('/')) {
    if (component === '') return 'it begins or ends with "/" or contains "//"'
    if (component === '.' || component === '..') return `it contains the component "${component}"`
  }
  if (isTemporaryName(key)) return 'it is the name of a temporary'
  return undefined
}

/** The error of a key that must not be used. */
export function refuse(key: string, storage: string, reason: string, cause?: unknown): WalgError {
  const shown = key.replaceAll('\0', '\\0')
  return new WalgError('KEY_REFUSED', `the key "${shown}" is refused by storage "${storage}": ${reason}`, {
    facts: { key, storage },
    cause,
  })
}

/** The error of a key that may or may not be there: a link on the way to it leads nowhere, as to a disk that is not mounted. */
export function leadsNowhere(key: string, storage: string, link: string, cause?: unknown): WalgError {
  return new WalgError(
    'STORAGE_UNAVAILABLE',
    `unable to look for "${key}" in storage "${storage}": the symbolic link "${link}" leads nowhere`,
    {
      facts: { key, storage, path: link },
      cause,
      hint: 'mount the file system that it leads to, or remove the link',
    },
  )
}
