import { errnoOf, WalgError } from '../../../kit/errors.ts'
import { isPassing } from '../../../kit/retry.ts'
import { retryAfterMs } from '../../requests/patient-request.ts'

export interface GcsPlace {
  readonly name: string
  readonly bucket: string
}

/** An answer that says no. */
export interface GcsRefusal {
  readonly status: number
  /** The service's word for it, such as `notFound`; `''` when it gave none. */
  readonly reason: string
  readonly message: string
  readonly retryAfter: string | null
}

/** Reads why a request was refused; the body is of the service, of a proxy on the way, or broken. */
export async function readRefusal(response: Response): Promise<GcsRefusal> {
  const text = await response.text().catch(() => '')
  const { reason, message } = readErrorDocument(text)
  return { status: response.status, reason, message, retryAfter: response.headers.get('retry-after') }
}

interface ErrorDocument {
  readonly error?: {
    readonly message?: string
    readonly errors?: readonly { readonly reason?: string }[]
  }
}

function readErrorDocument(text: string): { reason: string; message: string } {
  try {
    const { error } = JSON.parse(text) as ErrorDocument
    return { reason: error?.errors?.[0]?.reason ?? '', message: error?.message ?? '' }
  } catch {
    return { reason: '', message: text.slice(0, 200).replaceAll(/\s+/g, ' ').trim() }
  }
}

interface Verdict {
  readonly code: WalgError['code']
  readonly hint?: string
}

/** The error of a refused request. */
export function fromRefusal(refusal: GcsRefusal, place: GcsPlace, doing: string, key: string): WalgError {
  const { status, reason, message, retryAfter } = refusal
  const waitMs = retryAfterMs(retryAfter)
  const { code, hint } = verdictOf(refusal, place)
  const said = [`${status}${reason === '' ? '' : ` ${reason}`}`, message]
    .filter(text => text !== '')
    .join(', ')
  return new WalgError(code, `${unable(place, doing, key)}: ${said}`, {
    facts: {
      key,
      storage: place.name,
      bucket: place.bucket,
      status,
      ...(reason === '' ? {} : { reason }),
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    },
    ...(hint === undefined ? {} : { hint }),
  })
}

/** "Not there" is only believed when the service itself says it. */
const FOREIGN_HINT =
  'this answer is not of the service: see what stands between (a proxy, STORAGE_EMULATOR_HOST)'

function verdictOf({ status, reason, message }: GcsRefusal, { bucket }: GcsPlace): Verdict {
  if (status === 404 && /bucket does not exist/i.test(message)) {
    return { code: 'STORAGE_ROOT_MISSING', hint: `create the bucket "${bucket}", or correct WALG_GS_PREFIX` }
  }
  if (status === 404) {
    const isOfService = reason === 'notFound' || /^No such object/.test(message)
    return isOfService ? { code: 'OBJECT_NOT_FOUND' } : { code: 'STORAGE_UNAVAILABLE', hint: FOREIGN_HINT }
  }
  if (/CustomerEncryptionKey|customerEncryption/i.test(reason)) {
    return {
      code: 'ACCESS_DENIED',
      hint: 'see GCS_ENCRYPTION_KEY: an object can only be used with the key that it was stored with',
    }
  }
  if (status === 401) {
    return {
      code: 'ACCESS_DENIED',
      hint: 'see GOOGLE_APPLICATION_CREDENTIALS (has the key been revoked?), and whether the clock of this host is right',
    }
  }
  if (status === 403 && /rateLimit|quota/i.test(reason)) return { code: 'STORAGE_THROTTLED' }
  if (status === 403) {
    return {
      code: 'ACCESS_DENIED',
      hint: `give this account the role "Storage Object Admin" on the bucket "${bucket}"`,
    }
  }
  if (status === 412) return { code: 'OBJECT_EXISTS' }
  if (status === 429)
    return { code: 'STORAGE_THROTTLED', hint: 'the bucket is over its limits: run fewer transfers at a time' }
  if (status === 408 || status >= 500) {
    return {
      code: 'STORAGE_UNAVAILABLE',
      hint: 'see whether the storage can be reached from here, then run the command again',
    }
  }
  return { code: 'ACCESS_DENIED', hint: 'the storage answers, but refuses this request for good' }
}

/** The error of a request that got no answer, or of a body that broke. */
export function fromFetchError(
  error: unknown,
  place: GcsPlace,
  doing: string,
  key: string,
  signal: AbortSignal,
): WalgError {
  if (error instanceof WalgError) return error
  const reason = signal.aborted ? signal.reason : undefined
  if (reason instanceof WalgError && !isPassing(reason)) return reason
  const told = reason instanceof WalgError ? reason : error
  const text = told instanceof Error ? told.message : String(told)
  const errno = errnoOf(error)
  return new WalgError('STORAGE_UNAVAILABLE', `${unable(place, doing, key)}: ${text}`, {
    facts: { key, storage: place.name, bucket: place.bucket, ...(errno === undefined ? {} : { errno }) },
    hint: 'see whether storage.googleapis.com can be reached from here (name server, firewall, HTTPS_PROXY), then run the command again',
    cause: error,
  })
}

/** The error of credentials that could not be had. */
export function fromCredentialsError(error: unknown, place: GcsPlace): WalgError {
  const text = error instanceof Error ? error.message : String(error)
  return new WalgError(
    'ACCESS_DENIED',
    `unable to get Google credentials for storage "${place.name}": ${text}`,
    {
      facts: { storage: place.name, bucket: place.bucket },
      hint: 'set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account, or run on a machine that has one',
      cause: error,
    },
  )
}

/** The error of an answer that says yes, but not to what was asked. */
export function foreignAnswer(place: GcsPlace, doing: string, key: string): WalgError {
  return new WalgError(
    'STORAGE_UNAVAILABLE',
    `${unable(place, doing, key)}: the answer is not what was asked for`,
    { facts: { key, storage: place.name, bucket: place.bucket }, hint: FOREIGN_HINT },
  )
}

function unable({ name, bucket }: GcsPlace, doing: string, key: string): string {
  const what = key === '' ? `${doing} bucket "${bucket}"` : `${doing} object "${key}"`
  return `unable to ${what} in storage "${name}"`
}
