import {
  fromInstanceMetadata,
  fromNodeProviderChain,
  fromTemporaryCredentials,
} from '@aws-sdk/credential-providers'
import type { S3Credentials } from './description.ts'
import type { ProvidedKeys } from './signature.ts'

type Identity = Awaited<ReturnType<ReturnType<typeof fromNodeProviderChain>>>

/** The providers of the AWS SDK, without their own memory: who asks, asks for new keys. */
export function openProvider(
  credentials: Exclude<S3Credentials, { kind: 'static' }>,
  region: string | undefined,
): () => Promise<ProvidedKeys> {
  const clientConfig = region === undefined ? {} : { clientConfig: { region } }
  switch (credentials.kind) {
    case 'chain':
      return async () => keysOf(await fromNodeProviderChain({ ...clientConfig })())
    case 'yandex':
      return async () => keysOf(await fromInstanceMetadata({ timeout: 5000, maxRetries: 3 })())
    case 'role': {
      const { roleArn, sessionName, base } = credentials
      const provider = (): ReturnType<typeof fromTemporaryCredentials> =>
        fromTemporaryCredentials({
          params: { RoleArn: roleArn, RoleSessionName: sessionName },
          ...clientConfig,
          masterCredentials: base.kind === 'static' ? base : fromNodeProviderChain({ ...clientConfig }),
        })
      return async () => keysOf(await provider()())
    }
  }
}

function keysOf({ accessKeyId, secretAccessKey, sessionToken, expiration }: Identity): ProvidedKeys {
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { endsMs: expiration.getTime() }),
  }
}
