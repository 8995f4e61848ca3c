import { errnoOf, WalgError } from '../../../kit/errors.ts'
import { isPassing } from '../../../kit/retry.ts'
import { retryAfterMs } from '../../requests/patient-request.ts'

/** What an error of Azure's client says; nothing above this folder knows HTTP. */
interface AzureFailure {
  readonly status: number | undefined
  /** `x-ms-error-code`, or an errno. */
  readonly code: string
  readonly retryAfter: string | undefined
  /** The code is the service's own: nobody between has answered. */
  readonly isOfService: boolean
}

export interface AzurePlace {
  readonly name: string
  readonly container: string
  readonly account: string
}

/** The container is missing, as opposed to the object. */
export function isContainerMissing(error: unknown): boolean {
  return failureOf(error).code === 'ContainerNotFound'
}

export function statusOf(error: unknown): number | undefined {
  return failureOf(error).status
}

export function codeOf(error: unknown): string {
  return failureOf(error).code
}

/** Translates an error of Azure's client. A WalgError passes, an abort with a WalgError as its reason is that reason. */
export function fromAzureError(
  error: unknown,
  place: AzurePlace,
  doing: string,
  key: string,
  signal?: AbortSignal,
): WalgError {
  if (error instanceof WalgError) return error
  const reason = signal?.aborted === true ? signal.reason : undefined
  if (reason instanceof WalgError && !isPassing(reason)) return reason
  const told = reason instanceof WalgError ? reason : error
  const failure = failureOf(told)
  const { name, container, account } = place
  const facts = { key, storage: name, container, account, ...factsOf(failure) }
  const what = key === '' ? `${doing} container "${container}"` : `${doing} object "${key}"`
  const text = `unable to ${what} in storage "${name}": ${reasonOf(told, failure)}`
  const { code, hint } = verdictOf(failure, place)
  return new WalgError(code, text, { facts, ...(hint === undefined ? {} : { hint }), cause: error })
}

interface Verdict {
  readonly code: WalgError['code']
  readonly hint?: string
}

/** "Not there" is only believed when the service itself says it. */
const FOREIGN_HINT =
  'this answer is not of the service: see what stands between (a proxy, AZURE_ENDPOINT_SUFFIX)'

function verdictOf({ status, code, isOfService }: AzureFailure, { account, container }: AzurePlace): Verdict {
  if (code === 'ContainerNotFound') {
    return {
      code: 'STORAGE_ROOT_MISSING',
      hint: `create the container "${container}" in account "${account}", or correct WALG_AZ_PREFIX`,
    }
  }
  if (code === 'ContainerBeingDeleted')
    return { code: 'STORAGE_ROOT_MISSING', hint: 'wait until it is gone, then create it again' }
  if (status === 404 && !isOfService) return { code: 'STORAGE_UNAVAILABLE', hint: FOREIGN_HINT }
  if (status === 404) return { code: 'OBJECT_NOT_FOUND' }
  if (status === 401 || status === 403) return { code: 'ACCESS_DENIED', hint: accessHint(code) }
  if (code === 'InvalidBlockList') {
    return {
      code: 'OBJECT_EXISTS',
      hint: 'another process has put the same object at the same time; run the command again',
    }
  }
  if (status === 409 && code.endsWith('AlreadyExists')) return { code: 'OBJECT_EXISTS' }
  if (status === 429 || code === 'ServerBusy')
    return {
      code: 'STORAGE_THROTTLED',
      hint: 'the account is over its limits: run fewer transfers at a time',
    }
  if (code === 'ENOTFOUND') {
    return {
      code: 'STORAGE_UNAVAILABLE',
      hint: 'no such host: see AZURE_STORAGE_ACCOUNT and AZURE_ENDPOINT_SUFFIX, then the name server',
    }
  }
  if (status === undefined || status === 408 || status >= 500)
    return {
      code: 'STORAGE_UNAVAILABLE',
      hint: 'see whether the storage can be reached from here, then run the command again',
    }
  return { code: 'ACCESS_DENIED', hint: 'the storage answers, but refuses this request for good' }
}

function accessHint(code: string): string {
  switch (code) {
    case 'AuthenticationFailed':
    case 'InvalidAuthenticationInfo':
      return 'see AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN (has it expired?), and whether the clock of this host is right'
    case 'AuthorizationPermissionMismatch':
    case 'AuthorizationFailure':
      return 'see AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN, give an identity the role "Storage Blob Data Contributor" on the container, and see whether the firewall of the account lets this host in'
    default:
      return 'the account answers, but refuses these credentials: see their permissions on the container'
  }
}

function reasonOf(error: unknown, { status, code }: AzureFailure): string {
  const message = error instanceof Error ? (error.message.split('\n')[0] ?? '').trim() : String(error)
  const head = [status === undefined ? '' : String(status), code].filter(text => text !== '').join(' ')
  return head === '' ? message : `${head}${message === '' || message === code ? '' : `, ${message}`}`
}

function factsOf({ status, code, retryAfter }: AzureFailure): Record<string, string | number> {
  const waitMs = retryAfterMs(retryAfter)
  return {
    ...(status === undefined ? {} : { status }),
    ...(code === '' ? {} : { reason: code }),
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  }
}

interface RestErrorLike {
  readonly statusCode?: number
  readonly code?: string
  readonly details?: { readonly errorCode?: string }
  readonly response?: { readonly headers?: { get(name: string): string | undefined } }
}

function failureOf(error: unknown): AzureFailure {
  if (typeof error !== 'object' || error === null)
    return { status: undefined, code: '', retryAfter: undefined, isOfService: false }
  const rest = error as RestErrorLike
  const headers = rest.response?.headers
  const own = headers?.get('x-ms-error-code') ?? rest.details?.errorCode
  const code = own ?? errnoOf(error) ?? rest.code ?? ''
  const retryAfter = headers?.get('retry-after')
  return { status: rest.statusCode, code, retryAfter, isOfService: own !== undefined }
}
