/** A Google Cloud Storage bucket, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface GcsDescription {
  readonly kind: 'gcs'
  readonly bucket: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
}
