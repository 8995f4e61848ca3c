import { WalgError } from '../../../kit/errors.ts'
import { type HttpVerdict, refusedRequest, textOf, verdictOfStatus } from '../../requests/http.ts'

/** Where something was refused. */
export interface SwiftPlace {
  readonly storage: string
  readonly container: string
}

/** The error of an answer that is no success: `doing`, to the object `key`. What is missing for a put is the container. */
export async function refusedAnswer(
  answer: Response,
  { storage, container }: SwiftPlace,
  doing: string,
  key: string,
  signal: AbortSignal,
  isPut: boolean = false,
): Promise<WalgError> {
  const text = await textOf(answer, signal)
  const reason = text
    .replace(/<[^>]*>|\s+/g, ' ')
    .trim()
    .slice(0, 200)
  const refusal = { status: answer.status, reason, retryAfter: answer.headers.get('retry-after') }
  const verdict: HttpVerdict =
    answer.status === 404 && isPut
      ? { code: 'STORAGE_ROOT_MISSING', hint: createHint(container) }
      : verdictOfStatus(answer.status)
  return refusedRequest(refusal, verdict, doing, { key, storage, container })
}

export function noContainer({ storage, container }: SwiftPlace): WalgError {
  return new WalgError(
    'STORAGE_ROOT_MISSING',
    `there is no container "${container}" for storage "${storage}"`,
    {
      facts: { storage, container },
      hint: createHint(container),
    },
  )
}

/** The error of an answer that says yes, and is no listing of a container. */
export function foreignListing({ storage, container }: SwiftPlace, prefix: string): WalgError {
  return new WalgError(
    'STORAGE_UNAVAILABLE',
    `unable to list "${prefix}" in storage "${storage}": the answer is no listing of container "${container}"`,
    {
      facts: { key: prefix, storage, container },
      hint: 'this answer is not of Swift: see OS_AUTH_URL, and what stands in between',
    },
  )
}

export function notConditional({ storage }: SwiftPlace, key: string): WalgError {
  return new WalgError(
    'FORMAT_UNSUPPORTED',
    `storage "${storage}" cannot put an object only if there is none`,
    {
      facts: { key, storage },
    },
  )
}

export function noRanges({ storage }: SwiftPlace, key: string): WalgError {
  return new WalgError('FORMAT_UNSUPPORTED', `storage "${storage}" gives no part of object "${key}"`, {
    facts: { key, storage },
  })
}

function createHint(container: string): string {
  return `create it (\`openstack container create ${container}\`), or correct WALG_SWIFT_PREFIX`
}
