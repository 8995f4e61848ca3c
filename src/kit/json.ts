/** JSON text that is known to be valid and is written as it stands (user data, numbers with their own text). */
export interface RawJson {
  readonly rawJson: string
}

/** What the exact parser gives and the writer takes: integers beyond 2^53 are bigints. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | RawJson
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined }
