/** An Alibaba OSS bucket, as plain data that a worker opens it from. Secrets are inside: never logged. */
export interface OssDescription {
  readonly kind: 'oss'
  readonly bucket: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
  /** Such as `cn-hangzhou`: a part of every signature. */
  readonly region: string
  /** Scheme and host of the service, without the bucket. */
  readonly endpoint: string
  readonly credentials: OssCredentials
  /** false: nothing is listed at the start. */
  readonly isChecked: boolean
  readonly attemptsMax: number
  readonly connectTimeoutMs: number
  readonly partSizeBytes: number
  readonly copyPartSizeBytes: number
}

export interface OssCredentials extends OssKey {
  /** A role that is assumed with the key, and the address of the service that gives it. */
  readonly role?: { readonly arn: string; readonly sessionName: string; readonly endpoint: string }
}

export interface OssKey {
  readonly accessKeyId: string
  readonly accessKeySecret: string
  readonly sessionToken?: string
}
