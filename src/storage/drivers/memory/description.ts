/** A storage in the memory of this thread, for tests and tools. */
export interface MemoryDescription {
  readonly kind: 'memory'
  readonly id: string
}
