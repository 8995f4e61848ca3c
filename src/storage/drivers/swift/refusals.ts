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
