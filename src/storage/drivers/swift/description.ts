/** An OpenStack Swift container, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface SwiftDescription {
  readonly kind: 'swift'
  readonly container: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
}
