import type { DriverDescription, StorageDescription } from './description.ts'

/**
 * A short text that names the same place for every process of this host, without secrets: local records of
 * what was pushed are void for any other place.
 */
export function storageIdentity({ driver, prefix, copies }: StorageDescription): string {
  const place = placeOf(driver)
  const whole = prefix === '' ? place : `${place}#${prefix}`
  return [whole, ...(copies?.storages ?? []).map(storageIdentity)].join('+')
}

function placeOf(driver: DriverDescription): string {
  switch (driver.kind) {
    case 'fs':
      return `file:${driver.root}`
    case 'memory':
      return `memory:${driver.id}`
    case 's3':
    case 'gcs':
    case 'oss':
      return `${driver.kind}:${driver.bucket}/${driver.root}`
    case 'azure':
      return `azure:${driver.serviceUrl}/${driver.container}/${driver.root}`
    case 'swift':
      return `${driver.kind}:${driver.container}/${driver.root}`
    case 'sftp':
      return `${driver.kind}:${driver.username}@${driver.host}:${driver.port}${driver.root}`
  }
}
