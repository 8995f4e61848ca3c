import { readFileSync } from 'node:fs'
import path from 'node:path'
import { BlobServiceClient, type ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import type { AzureDescription } from '../../../src/storage/drivers/azure/description.ts'
import { openAzureDriver } from '../../../src/storage/drivers/azure/driver.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import { cleanUpAtEnd } from '../leftovers.ts'
import { projectRoot } from '../postgres-binaries.ts'
import { type Started, startProcess } from '../process.ts'
import { findTool, type SkipReason } from '../skip.ts'
import { tempDirectory } from '../temp-directory.ts'

/** The account that azurite always has. */
export const AZURITE_ACCOUNT = 'devstoreaccount1'
export const AZURITE_KEY =
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

export interface Azurite {
  readonly port: number
  /** `http://127.0.0.1:<port>/devstoreaccount1` */
  readonly serviceUrl: string
  stop(): Promise<void>
}

export function missingAzurite(): SkipReason {
  return findTool('node') === undefined ? 'not installed: node' : undefined
}

/** Starts azurite, Azure's own emulator of the blob service, on loopback; without its telemetry. */
export async function startAzurite(moreArguments: readonly string[] = []): Promise<Azurite> {
  const directory = tempDirectory('azurite')
  const started = startProcess(
    findTool('node') ?? 'node',
    [
      path.join(projectRoot, 'node_modules/azurite/dist/src/blob/main.js'),
      '--blobHost',
      '127.0.0.1',
      '--blobPort',
      '0',
      '--location',
      directory.path,
      '--skipApiVersionCheck',
      '--disableTelemetry',
      ...moreArguments,
    ],
    { cwd: directory.path, timeoutMs: 3_600_000 },
  )
  const stop = async (): Promise<void> => {
    started.kill('SIGTERM')
    await started.finished.catch(() => undefined)
    directory.remove()
    forget()
  }
  const forget = cleanUpAtEnd(() => started.kill())
  const [origin] = await untilSaid(started, /https?:\/\/127\.0\.0\.1:\d+/)
  return { port: Number(new URL(origin).port), serviceUrl: `${origin}/${AZURITE_ACCOUNT}`, stop }
}

/** Waits for a line of the program's output. */
async function untilSaid({ child, finished, stderr }: Started, pattern: RegExp): Promise<RegExpExecArray> {
  let said = ''
  const found = new Promise<RegExpExecArray>(resolve => {
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      const match = pattern.exec(said)
      if (match !== null) resolve(match)
    })
  })
  const ended = finished.then(() => {
    throw new Error(`azurite ended before it listened: ${said}${stderr()}`)
  })
  return Promise.race([found, ended])
}

/** Creates a container of its own, for one test; `ca` is a file of the authority when azurite speaks TLS. */
export async function createContainer(azurite: Azurite, ca?: string): Promise<string> {
  const container = `test-${crypto.randomUUID()}`
  await containerClient(azurite, container, ca).create()
  return container
}

/** Every blob of a container. */
export async function blobNames(azurite: Azurite, container: string, ca?: string): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of containerClient(azurite, container, ca).listBlobsFlat()) names.push(name)
  return names
}

function containerClient(azurite: Azurite, container: string, ca: string | undefined): ContainerClient {
  const credential = new StorageSharedKeyCredential(AZURITE_ACCOUNT, AZURITE_KEY)
  // the client knows this option, its types do not
  const tlsOptions = ca === undefined ? undefined : { ca: readFileSync(ca) }
  const client = new BlobServiceClient(azurite.serviceUrl, credential, { tlsOptions } as object)
  return client.getContainerClient(container)
}

/** What the driver needs to open `container`. */
export function azuriteDescription(azurite: Azurite, container: string): AzureDescription {
  return {
    kind: 'azure',
    container,
    root: '',
    account: AZURITE_ACCOUNT,
    serviceUrl: azurite.serviceUrl,
    credentials: { kind: 'key', key: AZURITE_KEY },
    blockSizeBytes: 8 * 1024 * 1024,
    blocksMax: 4,
    tryTimeoutMs: 30_000,
    attemptsMax: 6,
    apiVersion: undefined,
  }
}

/** Opens the driver; no wait for a byte lasts longer than `stallTimeoutMs`. */
export function openAzure(description: AzureDescription, stallTimeoutMs = 60_000): Promise<Storage> {
  return openAzureDriver({ name: 'azure', description, stallTimeoutMs })
}
