import type { DataEntries } from './data-entries.ts'

const INIT_ENDING = new TextEncoder().encode('_init')

/** Tells of an entry whether it is a file of a relation whose init fork the walk has seen: an unlogged one. */
export function tellUnlogged(entries: DataEntries): (index: number) => boolean {
  const keyOf = (index: number): string =>
    `${entries.places[entries.placeOf(index)]!.member}/${entries.fileNumber(index)}`
  const found = new Set<string>()
  for (let index = 0; index < entries.count; index++) {
    if (!entries.isDirectory(index) && entries.endsIn(index, INIT_ENDING)) found.add(keyOf(index))
  }
  return index => found.has(keyOf(index))
}
