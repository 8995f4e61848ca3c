/** An Azure Blob Storage container, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface AzureDescription {
  readonly kind: 'azure'
  readonly container: string
  /** Path below it, without `/` at its ends; `''` for none. */
  readonly root: string
}
