import type { BucketPlace } from '../../bucket-place.ts'

/** An S3 bucket, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface S3Description extends BucketPlace {
  readonly kind: 's3'
  readonly endpoint: S3Endpoint
  readonly credentials: S3Credentials
  readonly storageClass: string
  readonly encryption?: S3Encryption
  readonly retention?: S3Retention
  /** Size of a multipart part, at least 5 MiB. */
  readonly partSizeBytes: number
  /** Parts of one object that are under way at a time, at most. */
  readonly uploadsMax: number
  readonly usesListV1: boolean
  readonly deleteBatchMax: number
  /** Whether the bucket keeps versions; `ask`: it is asked. */
  readonly versioning: 'enabled' | 'disabled' | 'ask'
  readonly conditionalPut: S3ConditionalPut
  /** Whether the hash of what is sent is part of the signature. */
  readonly signsPayload: boolean
  /** The bucket is not asked for before the first real request. */
  readonly skipsValidation: boolean
  readonly retries: S3Retries
  /** Further headers of every request, lower-case. */
  readonly headers: Readonly<Record<string, string>>
  /** Every request and its answer goes to the log at level DEBUG. */
  readonly isTraced: boolean
}

/** `ask`: it is tried, and a store that does not know it is taken at its word. */
export type S3ConditionalPut = 'yes' | 'no' | 'ask'

export interface S3Endpoint {
  /** Undefined: AWS, by region. */
  readonly address?: S3Address
  /** Undefined: learned from AWS; `us-east-1` elsewhere. */
  readonly region?: string
  readonly isPathStyle: boolean
  readonly isDualStack: boolean
  /** Where to ask which host to connect to (S3_ENDPOINT_SOURCE). */
  readonly source?: S3EndpointSource
  /** Further certificate authorities, PEM. */
  readonly ca?: string
}

export interface S3Address {
  readonly protocol: 'http' | 'https'
  readonly host: string
  readonly port: number
}

export interface S3EndpointSource {
  readonly url: string
  readonly port: number
  readonly protocol?: 'http' | 'https'
}

export type S3Credentials =
  | {
      readonly kind: 'static'
      readonly accessKeyId: string
      readonly secretAccessKey: string
      readonly sessionToken?: string
    }
  /** As every AWS program finds them: environment, profiles, web identity, container, instance. */
  | { readonly kind: 'chain' }
  /** STS AssumeRole with the credentials of `base`. */
  | {
      readonly kind: 'role'
      readonly roleArn: string
      readonly sessionName: string
      readonly base: Extract<S3Credentials, { kind: 'static' | 'chain' }>
    }
  /** Instance metadata whose token goes into a header of Yandex Cloud. */
  | { readonly kind: 'yandex' }

export type S3Encryption =
  | { readonly kind: 'SSE-S3'; readonly algorithm: string }
  | { readonly kind: 'SSE-KMS'; readonly algorithm: string; readonly keyId: string }
  /** `key` has 32 bytes, in base64. */
  | { readonly kind: 'SSE-C'; readonly algorithm: string; readonly key: string; readonly keyMd5: string }

export interface S3Retention {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE'
  readonly periodS: number
}

export interface S3Retries {
  /** After the first attempt. */
  readonly retriesMax: number
  readonly throttledDelayMsMin: number
  readonly throttledDelayMsMax: number
  /** How often a broken download goes on behind its last byte. */
  readonly rangeRetriesMax: number
}
