/** A Google Cloud Storage bucket, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface GcsDescription {
  readonly kind: 'gcs'
  readonly bucket: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
  /** `https://storage.googleapis.com`, or an emulator's. */
  readonly endpoint: string
  readonly credentials: GcsCredentials
  /** Base64 of a customer's key of 32 bytes (CSEK). */
  readonly encryptionKey: string | undefined
  /** Bytes of one request of a large object, a multiple of 256 KiB; what fits into one is put by one request. */
  readonly chunkSizeBytes: number
  /** Tries of one request, the first included. */
  readonly attemptsMax: number
  /** Longest request, its retries included. */
  readonly timeoutMs: number
  /** Longest single try of a request. */
  readonly tryTimeoutMs: number
}

export type GcsCredentials =
  /** Emulators ask for none. */
  | { readonly kind: 'none' }
  /** A service account's key, an authorized user, an external account (workload identity federation). */
  | { readonly kind: 'file'; readonly path: string }
  /** What the host has: the file of `gcloud auth application-default login`, or the metadata server. */
  | { readonly kind: 'default' }
