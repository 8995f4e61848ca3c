import { afterAll, beforeAll, test } from 'bun:test'
import { chmodSync } from 'node:fs'
import { type ConnectProxy, startConnectProxy } from '../../doubles/connect-proxy.ts'
import { Certificates } from '../../postgres/certificates.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import {
  AZURITE_ACCOUNT,
  AZURITE_KEY,
  type Azurite,
  blobNames,
  createContainer,
  missingAzurite,
  startAzurite,
} from '../../support/servers/azurite.ts'
import { describeUnless, missingReference, missingTool } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { DIRECTIONS, proveExchange } from '../storage-exchange.ts'

const SUFFIX = 'storage.test'

// The original only speaks to https://ACCOUNT.blob.SUFFIX: azurite answers over TLS behind a proxy that takes it for that host.
describeUnless(
  missingReference() ?? missingAzurite() ?? missingTool('openssl') ?? missingPostgres(16),
  'Azure Blob Storage, with the original',
  () => {
    let azurite: Azurite
    let proxy: ConnectProxy
    let place: TempDirectory
    beforeAll(async () => {
      place = tempDirectory('azure-tls')
      const certificates = new Certificates(place.path)
      certificates.authority('authority')
      const host = `${AZURITE_ACCOUNT}.blob.${SUFFIX}`
      certificates.issue('server', 'authority', `/CN=${host}`, `DNS:${host},IP:127.0.0.1`)
      chmodSync(certificates.path('authority.crt'), 0o644)
      azurite = await startAzurite([
        '--cert',
        certificates.path('server.crt'),
        '--key',
        certificates.path('server.key'),
      ])
      proxy = await startConnectProxy(azurite.port)
    })
    afterAll(async () => {
      await proxy.close()
      await azurite.stop()
      place.remove()
    })

    for (const [writer, reader] of DIRECTIONS) {
      for (const [name, more] of Object.entries({
        plainly: {},
        'in small blocks': { AZURE_BUFFER_SIZE: '300000', AZURE_MAX_BUFFERS: '3' },
      })) {
        test(`what ${writer} stored, ${reader} restores and extends, ${name}`, async () => {
          const ca = place.at('authority.crt')
          const container = await createContainer(azurite, ca)
          const storage = {
            WALG_AZ_PREFIX: `azure://${container}/some/path`,
            AZURE_STORAGE_ACCOUNT: AZURITE_ACCOUNT,
            AZURE_STORAGE_ACCESS_KEY: AZURITE_KEY,
            AZURE_ENDPOINT_SUFFIX: SUFFIX,
            HTTPS_PROXY: proxy.url,
            SSL_CERT_FILE: ca,
            NODE_EXTRA_CA_CERTS: ca,
            ...more,
          }
          await proveExchange(
            () => storage,
            writer,
            reader,
            () => blobNames(azurite, container, ca),
          )
        }, 180_000)
      }
    }
  },
)
