/** An Azure Blob Storage container, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface AzureDescription {
  readonly kind: 'azure'
  readonly container: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
  readonly account: string
  /** The blob service: `https://<account>.blob.<suffix>`, or whatever address answers for the account. */
  readonly serviceUrl: string
  readonly credentials: AzureCredentials
  /** Size of a block; an object that fits into one is put by one request. */
  readonly blockSizeBytes: number
  /** Blocks of one object in memory, the one being filled included. */
  readonly blocksMax: number
  /** Longest single try of a request. */
  readonly tryTimeoutMs: number
  /** Tries of one request, the first included. */
  readonly attemptsMax: number
  /** `x-ms-version` of every request, where it is not the client's own. */
  readonly apiVersion: string | undefined
}

export type AzureCredentials =
  | { readonly kind: 'key'; readonly key: string }
  /** Without a leading `?`. */
  | { readonly kind: 'sas'; readonly token: string }
  /** The environment, a workload's or a machine's identity, the tools of a person: whatever answers first. */
  | { readonly kind: 'identity' }
