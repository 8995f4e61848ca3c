/** An object of the repository, as the listing has it. */
export interface StoredObject {
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
  /** Where it lies; absent: in the only storage there is. */
  readonly storageName?: string
}

/** Many objects, by their place in the order of the original's log. */
export interface StoredObjects extends Iterable<StoredObject> {
  readonly length: number
  at(place: number): StoredObject | undefined
  /** Those below a folder of the root, in any order, where that is quicker than looking at all of them. */
  below?(folder: string): Iterable<StoredObject>
}
