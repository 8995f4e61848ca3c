import { WalgError } from '../../../kit/errors.ts'
import type { S3Credentials } from './description.ts'
import type { ProvidedKeys, SigningKeys } from './signature.ts'

/** Where the keys come from; those that expire are replaced in time. */
export interface CredentialSource {
  /** Keys that are valid now. Throws ACCESS_DENIED when none are to be had. */
  keys(): Promise<SigningKeys>
  /** The storage refused `keys`: the next ones must be others. False: there are no others. */
  refresh(refused: SigningKeys): boolean
  /** For messages, e.g. `the key of AWS_ACCESS_KEY_ID`; never a key itself, which is hidden wherever it stands. */
  readonly name: string
}

/** Keys that end sooner are not used for a new request: it may be on its way for a while. */
const LIFE_MS_MIN = 60_000

/**
 * Opens the source. Static keys load nothing; everything else loads the providers of the AWS SDK at the first request.
 * `region` is where STS is asked, when it is known.
 */
export function openCredentials(credentials: S3Credentials, region: string | undefined): CredentialSource {
  if (credentials.kind === 'static') {
    return { keys: async () => credentials, refresh: () => false, name: 'the key of AWS_ACCESS_KEY_ID' }
  }
  let provide: (() => Promise<ProvidedKeys>) | undefined
  let current: Promise<ProvidedKeys> | undefined
  const next = async (): Promise<ProvidedKeys> => {
    if (provide === undefined) {
      const { openProvider } = await import('./credential-providers.ts')
      provide = openProvider(credentials, region)
    }
    try {
      return await provide()
    } catch (error) {
      throw noCredentials(credentials, error)
    }
  }
  return {
    name: NAMES[credentials.kind],
    async keys() {
      const known = await current
      if (known !== undefined && (known.endsMs === undefined || known.endsMs - Date.now() > LIFE_MS_MIN)) {
        return known
      }
      const asked = next()
      current = asked
      try {
        return await asked
      } catch (error) {
        if (current === asked) current = undefined
        // What is left of the old keys may outlast a metadata service that is away for a moment.
        if (known?.endsMs !== undefined && known.endsMs > Date.now()) return known
        throw error
      }
    },
    refresh(refused) {
      void current?.then(known => {
        if (known === refused) current = undefined
      })
      return true
    },
  }
}

const NAMES: Readonly<Record<Exclude<S3Credentials['kind'], 'static'>, string>> = {
  chain: 'the credentials found in the environment, a profile or the metadata of the machine',
  role: 'the assumed role',
  yandex: 'the token of the virtual machine',
}

function noCredentials(credentials: S3Credentials, cause: unknown): WalgError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  const message =
    credentials.kind === 'role'
      ? `unable to assume the role "${credentials.roleArn}": ${reason}`
      : `no credentials for S3: ${reason}`
  return new WalgError('ACCESS_DENIED', message, {
    hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine or container a role',
    cause,
  })
}
