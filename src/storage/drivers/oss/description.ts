/** An Alibaba OSS bucket, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface OssDescription {
  readonly kind: 'oss'
  readonly bucket: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
}
