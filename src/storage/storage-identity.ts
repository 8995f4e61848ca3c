import type { DriverDescription, StorageDescription } from './description.ts'
import type { SwiftIdentity } from './drivers/swift/description.ts'

/**
 * A short text that names the same place for every process of this host, without secrets: local records of
 * what was pushed are void for any other place.
 */
export function storageIdentity({ driver, prefix, copies }: StorageDescription): string {
  const place = placeOf(driver)
  const whole = prefix === '' ? place : `${place}#${prefix}`
  return [whole, ...(copies?.storages ?? []).map(storageIdentity)].join('+')
}

/**
 * Tells archives apart, also those that have the same name in different services: what was fetched from the one is void
 * for the other. (Two names of one place may have two of these, so it excludes nobody from a place.) Without secrets.
 */
export function exactIdentity({ driver, prefix, renamed, copies }: StorageDescription): string {
  const whole = [placeOf(driver), endpointOf(driver), prefix, renamed ? `${renamed.from}=${renamed.to}` : '']
  return [whole.join('#'), ...(copies?.storages ?? []).map(exactIdentity)].join('+')
}

function endpointOf(driver: DriverDescription): string {
  switch (driver.kind) {
    case 's3': {
      const { address, region, source } = driver.endpoint
      const host =
        address === undefined ? (region ?? '') : `${address.protocol}://${address.host}:${address.port}`
      return source === undefined ? host : `${host} by ${source.url}:${source.port}`
    }
    case 'gcs':
    case 'oss':
      return driver.endpoint
    case 'swift':
      return swiftEndpoint(driver.identity)
    default:
      return '' // the place says it
  }
}

function swiftEndpoint(identity: SwiftIdentity): string {
  if (identity.version === 'token') return identity.storageUrl
  const user = identity.version === 1 ? identity.username : (identity.region ?? '')
  return `${identity.url} ${user} ${identity.storageUrl ?? ''}`
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
