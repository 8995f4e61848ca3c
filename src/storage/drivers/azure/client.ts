import {
  AnonymousCredential,
  BlobServiceClient,
  type ContainerClient,
  newPipeline,
  type RequestPolicyFactory,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import type { AzureDescription } from './description.ts'
import { fetchTransport } from './transport.ts'

/**
 * Opens the container with Azure's own client; nothing is sent yet. Its retries are off: a request is repeated by the
 * driver, which knows what may have happened when an answer was lost.
 */
export async function openContainer(description: AzureDescription): Promise<ContainerClient> {
  const { credentials, apiVersion, serviceUrl, container } = description
  const pipeline = newPipeline(await credentialOf(description), {
    httpClient: fetchTransport,
    retryOptions: { maxTries: 1 },
    userAgentOptions: { userAgentPrefix: 'wal-g' },
  })
  if (apiVersion !== undefined) pipeline.factories.push(versionPolicy(apiVersion))
  const url = credentials.kind === 'sas' ? `${serviceUrl}?${credentials.token}` : serviceUrl
  return new BlobServiceClient(url, pipeline).getContainerClient(container)
}

async function credentialOf({ credentials, account }: AzureDescription): Promise<Credential> {
  switch (credentials.kind) {
    case 'key':
      return new StorageSharedKeyCredential(account, credentials.key)
    case 'sas':
      return new AnonymousCredential()
    case 'identity': {
      const { openIdentity } = await import('./identity.ts')
      return openIdentity()
    }
  }
}

type Credential = NonNullable<Parameters<typeof newPipeline>[0]>

function versionPolicy(apiVersion: string): RequestPolicyFactory {
  return {
    create: next => ({
      sendRequest(request) {
        request.headers.set('x-ms-version', apiVersion)
        return next.sendRequest(request)
      },
    }),
  }
}
