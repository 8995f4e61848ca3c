import type { StorageDescription } from './description.ts'

/**
 * A short text that names the same place for every process of this host, without secrets: local records of
 * what was pushed are void for any other place.
 */
export function storageIdentity(description: StorageDescription): string {
  const { driver, prefix } = description
  const place = driver.kind === 'fs' ? `file:${driver.root}` : `memory:${driver.id}`
  return prefix === '' ? place : `${place}#${prefix}`
}
