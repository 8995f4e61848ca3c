/** An S3 bucket, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface S3Description {
  readonly kind: 's3'
  readonly bucket: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
}
