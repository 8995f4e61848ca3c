/** An OpenStack Swift container, as plain data that a worker opens it from. Secrets are inside: never logged. */
export interface SwiftDescription {
  readonly kind: 'swift'
  readonly container: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
  readonly identity: SwiftIdentity
  /** Larger objects are stored in segments of this size. */
  readonly segmentSizeBytes: number
  /** Buffers of that size, the one being filled included. */
  readonly segmentsMax: number
  /** Further certificate authorities, PEM. */
  readonly caCertificates?: string
}

/** How a token is got. */
export type SwiftIdentity =
  /** TempAuth and its kin: `X-Auth-User` and `X-Auth-Key`. */
  | {
      readonly version: 1
      readonly url: string
      readonly username: string
      readonly password: string
      /** Instead of the one in the answer. */
      readonly storageUrl?: string
    }
  | SwiftKeystone
  /** A token that somebody else has got; when it expires, that is the end. */
  | { readonly version: 'token'; readonly token: string; readonly storageUrl: string }

/** Keystone, version 3 of its protocol. */
export interface SwiftKeystone {
  readonly version: 3
  /** With `/v3`, without a slash at its end. */
  readonly url: string
  /** The parts `identity` and `scope` of the request, as JSON. */
  readonly request: string
  readonly region: string | undefined
  readonly endpoint: 'public' | 'internal' | 'admin'
  /** Instead of the catalogue's. */
  readonly storageUrl: string | undefined
}
