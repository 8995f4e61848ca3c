import { type ErrorCode, WalgError } from '../../../kit/errors.ts'
import { HttpFault } from '../../http/fault.ts'

/** An answer of the store that says no. */
export class S3Fault extends Error {
  override readonly name = 'S3Fault'
  readonly status: number
  /** `NoSuchKey`, …; by the status when the answer has no body. */
  readonly code: string
  /** Where the bucket is, when the answer says so. */
  readonly region: string | undefined
  /** How long the store wants to be left alone. */
  readonly retryAfterMs: number | undefined
  readonly requestId: string | undefined
  /** The server's clock, when the answer has it. */
  readonly serverMs: number | undefined

  constructor(facts: {
    readonly status: number
    readonly code: string
    readonly message: string
    readonly region?: string | undefined
    readonly retryAfterMs?: number | undefined
    readonly requestId?: string | undefined
    readonly serverMs?: number | undefined
  }) {
    super(facts.message)
    this.status = facts.status
    this.code = facts.code
    this.region = facts.region
    this.retryAfterMs = facts.retryAfterMs
    this.requestId = facts.requestId
    this.serverMs = facts.serverMs
  }
}

/** How a failure is met. `stale keys` and `wrong clock`: once, with other keys or the server's time. */
export type FaultKind = 'final' | 'passing' | 'throttled' | 'stale keys' | 'wrong clock' | 'elsewhere'

const THROTTLED = ['SlowDown', 'Throttling', 'ThrottlingException', 'TooManyRequests', 'RequestLimitExceeded']
const PASSING = [
  'RequestTimeout',
  'InternalError',
  'ServiceUnavailable',
  'OperationAborted',
  'ConditionalRequestConflict',
  'ClientDisconnected',
  'BadDigest',
  'IncompleteBody',
]
const STALE_KEYS = ['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired', 'InvalidToken']
const ELSEWHERE = [
  'PermanentRedirect',
  'TemporaryRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]

/** Decides about a failure by what it is. */
export function judgeFault(fault: S3Fault | HttpFault): FaultKind {
  if (fault instanceof HttpFault) {
    const isPassing = ['refused', 'unknown host', 'reset', 'stalled', 'cut', 'invalid'].includes(fault.kind)
    return isPassing ? 'passing' : 'final'
  }
  const { status, code, region } = fault
  if (code === 'RequestTimeTooSkewed') return 'wrong clock'
  if (STALE_KEYS.includes(code)) return 'stale keys'
  const isRedirect = [301, 302, 307, 308].includes(status) || ELSEWHERE.includes(code)
  if (isRedirect && region !== undefined) return 'elsewhere'
  if (THROTTLED.includes(code) || status === 429 || status === 503) return 'throttled'
  if (PASSING.includes(code) || [408, 409, 499, 500, 502, 504].includes(status)) return 'passing'
  return 'final'
}

export interface FaultPlace {
  readonly storage: string
  readonly bucket: string
  /** Key below the storage's root; `''` for the bucket itself. */
  readonly key: string
  /** A verb phrase: `put`, `list`, … */
  readonly doing: string
  readonly endpoint: string
  readonly credentials: string
}

/** What was asked for, in words. Without a key, `list "a" of` and its like speak of the bucket itself. */
export function taskInBucket({ doing, key, bucket }: Pick<FaultPlace, 'doing' | 'key' | 'bucket'>): string {
  if (key !== '') return `${doing} "${key}" in bucket "${bucket}"`
  return / (of|from)$/.test(doing) ? `${doing} bucket "${bucket}"` : `${doing} in bucket "${bucket}"`
}

/** Translates a failure for those above, who know no HTTP. */
export function toWalgError(fault: S3Fault | HttpFault, place: FaultPlace): WalgError {
  const { code, hint } = fault instanceof HttpFault ? meaningOfHttp(fault) : meaningOf(fault, place)
  const where = `(storage "${place.storage}", ${place.endpoint})`
  const said =
    fault instanceof S3Fault && fault.code !== ''
      ? `${fault.message} (${fault.code}, HTTP ${fault.status})`
      : fault.message
  const message =
    code === 'OBJECT_NOT_FOUND'
      ? `object "${place.key}" not found in storage "${place.storage}"`
      : code === 'OBJECT_EXISTS'
        ? `object "${place.key}" exists already in storage "${place.storage}"`
        : `unable to ${taskInBucket(place)} ${where}: ${said}`
  const requestId = fault instanceof S3Fault ? fault.requestId : undefined
  return new WalgError(code, message, {
    facts: {
      storage: place.storage,
      bucket: place.bucket,
      ...(place.key === '' ? {} : { key: place.key }),
      ...(fault instanceof S3Fault ? { status: fault.status, s3Code: fault.code } : { fault: fault.kind }),
      ...(requestId === undefined ? {} : { requestId }),
    },
    cause: fault,
    ...(hint === undefined ? {} : { hint }),
  })
}

interface Meaning {
  readonly code: ErrorCode
  readonly hint?: string
}

function meaningOfHttp({ kind }: HttpFault): Meaning {
  switch (kind) {
    case 'refused':
    case 'unknown host':
      return {
        code: 'STORAGE_UNAVAILABLE',
        hint: 'see whether AWS_ENDPOINT and AWS_REGION are right and whether this host may connect to it',
      }
    case 'untrusted':
      return {
        code: 'STORAGE_UNAVAILABLE',
        hint: 'name the authority that signed the certificate in S3_CA_CERT_FILE',
      }
    case 'stalled':
      return { code: 'TIMEOUT', hint: 'the store or the network hangs; WALG_STALL_TIMEOUT is for a slow one' }
    case 'aborted':
      return { code: 'CANCELLED' }
    case 'invalid':
      return { code: 'STORAGE_UNAVAILABLE', hint: NOT_OF_S3 }
    default:
      return { code: 'STORAGE_UNAVAILABLE', hint: TRY_AGAIN }
  }
}

/** The hint for an answer that S3 does not give. */
export const NOT_OF_S3 =
  'the answer does not look like one of S3: see whether AWS_ENDPOINT and AWS_S3_FORCE_PATH_STYLE are right, and what stands in between'
const TRY_AGAIN = 'see whether the store and the network are well, then run the command again'

function meaningOf({ status, code }: S3Fault, place: FaultPlace): Meaning {
  switch (code) {
    case 'NoSuchKey':
    case 'NoSuchVersion':
    case 'NoSuchUpload':
    case 'NotFound':
      return { code: 'OBJECT_NOT_FOUND' }
    case 'NoSuchBucket':
      return {
        code: 'STORAGE_ROOT_MISSING',
        hint: 'create the bucket, or correct WALG_S3_PREFIX: it is never created by itself',
      }
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
      return {
        code: 'ACCESS_DENIED',
        hint: `see whether AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together and to this store (${place.credentials})`,
      }
    case 'ExpiredToken':
      return { code: 'ACCESS_DENIED', hint: 'the session token has expired: get new keys' }
    case 'RequestTimeTooSkewed':
      return { code: 'ACCESS_DENIED', hint: 'set the clock of this host' }
    case 'InvalidObjectState':
      return {
        code: 'ACCESS_DENIED',
        hint: `the object lies in an archive class: ask for it with "aws s3api restore-object --bucket ${place.bucket} --key … --restore-request Days=7", wait until it is there (minutes to two days), then run the command again`,
      }
    case 'QuotaExceeded':
    case 'XMinioStorageFull':
    case 'InsufficientStorage':
      return { code: 'DISK_FULL', hint: 'the bucket is full: make room, or raise its quota' }
    case 'PreconditionFailed':
      return { code: 'OBJECT_EXISTS' }
    case 'SlowDown':
      return { code: 'STORAGE_THROTTLED', hint: SLOWER }
  }
  if (status === 404) {
    return { code: 'STORAGE_UNAVAILABLE', hint: NOT_OF_S3 }
  }
  if (status === 412) return { code: 'OBJECT_EXISTS' }
  if (status === 401 || status === 403) {
    return {
      code: 'ACCESS_DENIED',
      hint: `give ${place.credentials} ${permissionFor(place.doing)} (docs/guide/storages.md) on this bucket`,
    }
  }
  if (status === 507) return { code: 'DISK_FULL', hint: 'the bucket is full: make room, or raise its quota' }
  if (status === 429 || status === 503) return { code: 'STORAGE_THROTTLED', hint: SLOWER }
  if (status === 501) return { code: 'FORMAT_UNSUPPORTED' }
  return { code: 'STORAGE_UNAVAILABLE', hint: TRY_AGAIN }
}

/** Without the right to list, what is absent is denied to be looked at, too. */
const PERMISSIONS: Readonly<Record<string, string>> = {
  list: 's3:ListBucket',
  stat: 's3:GetObject and s3:ListBucket',
  get: 's3:GetObject and s3:ListBucket',
  put: 's3:PutObject',
  delete: 's3:DeleteObject',
}

function permissionFor(doing: string): string {
  const actions = PERMISSIONS[doing.startsWith('list "') ? 'list' : doing]
  return actions === undefined ? 'the permissions it needs' : `the permission ${actions}`
}

const SLOWER =
  'the store asks to slow down: try later, or lower WALG_UPLOAD_CONCURRENCY or WALG_NETWORK_RATE_LIMIT'
