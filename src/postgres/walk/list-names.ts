import { readdirSync } from 'node:fs'

const REPLACEMENT = '\ufffd'
const SURROGATE = /[\ud800-\udfff]/

/**
 * Names in a directory, ordered by their bytes. Names that are not UTF-8 are given to `onBadName`, as bytes, and
 * are not in the result. Throws the system error of readdir.
 */
export function listNames(directory: string, onBadName: (name: Buffer) => void): string[] {
  let names = readdirSync(directory)
  // a replacement character may be a real one: then the bytes tell
  if (names.some(name => name.includes(REPLACEMENT))) names = decodeNames(directory, onBadName)
  return sortByBytes(names)
}

/** Sorts as the UTF-8 bytes would: the default order differs from it only beyond the basic plane. */
export function sortByBytes(names: string[]): string[] {
  if (!names.some(name => SURROGATE.test(name))) return names.sort()
  return names.sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)))
}

function decodeNames(directory: string, onBadName: (name: Buffer) => void): string[] {
  const names: string[] = []
  for (const bytes of readdirSync(directory, { encoding: 'buffer' })) {
    const name = bytes.toString('utf8')
    if (Buffer.compare(Buffer.from(name, 'utf8'), bytes) === 0) names.push(name)
    else onBadName(bytes)
  }
  return names
}
