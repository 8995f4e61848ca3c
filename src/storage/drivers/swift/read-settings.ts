import { readTable, type SettingProblem, type SettingTexts } from '../../../kit/settings.ts'
import { type DriverReading, readNamedFile } from '../../driver-reading.ts'
import type { SwiftDescription, SwiftIdentity } from './description.ts'
import { keystoneRequest } from './keystone-request.ts'
import { type SwiftSettings, swiftSettings } from './settings.ts'

/** Reads WALG_SWIFT_PREFIX and the OS_ variables. */
export async function readSwift(texts: SettingTexts): Promise<DriverReading<SwiftDescription>> {
  const { values, problems: unread } = readTable(swiftSettings, texts)
  const place = values.WALG_SWIFT_PREFIX
  if (place === undefined) return { problems: unread, warnings: [] }
  const problems = [...unread]
  const identity = readIdentity(values)
  if ('code' in identity) problems.push(identity)
  const caFile = values.OS_CACERT
  const caCertificates = caFile === undefined ? undefined : await readNamedFile(caFile, 'OS_CACERT', problems)
  if (problems.length > 0 || 'code' in identity) return { problems, warnings: [] }
  const description: SwiftDescription = {
    kind: 'swift',
    container: place.bucket,
    root: place.root,
    identity,
    segmentSizeBytes: values.SWIFT_SEGMENT_SIZE,
    segmentsMax: values.SWIFT_UPLOAD_CONCURRENCY,
    ...(caCertificates === undefined ? {} : { caCertificates }),
  }
  return { description, problems, warnings: [] }
}

function readIdentity(values: SwiftSettings): SwiftIdentity | SettingProblem {
  const { OS_AUTH_URL: url, OS_AUTH_TOKEN: token, OS_STORAGE_URL: storageUrl } = values
  if (url === undefined) {
    if (token !== undefined && storageUrl !== undefined) return { version: 'token', token, storageUrl }
    return missing('OS_AUTH_URL', 'the address of the identity service')
  }
  if (!URL.canParse(url)) return invalid('OS_AUTH_URL', 'a URL such as https://keystone:5000/v3')
  const version = versionOf(url, values.OS_IDENTITY_API_VERSION)
  if (version === '1') return readFirstVersion(values, url)
  if (version !== '3') return unknownVersion(version)
  const request = keystoneRequest(values)
  if (typeof request !== 'string') return request
  const base = url.replace(/\/+$/, '').replace(/\/auth\/tokens$/, '')
  return {
    version: 3,
    url: /\/v3$/.test(base) ? base : `${base}/v3`,
    request,
    region: values.OS_REGION_NAME,
    endpoint: values.OS_ENDPOINT_TYPE.replace(/URL$/, '') as 'public' | 'internal' | 'admin',
    storageUrl,
  }
}

/** As the original's library: from the address, unless it is said. */
function versionOf(url: string, given: string | undefined): string {
  if (given !== undefined) return given.replace(/^v/, '').replace(/\.0$/, '')
  return /v([123])/.exec(url)?.[1] ?? ''
}

function readFirstVersion(values: SwiftSettings, url: string): SwiftIdentity | SettingProblem {
  if (values.OS_USERNAME === undefined) return missing('OS_USERNAME', 'the user, such as account:user')
  if (values.OS_PASSWORD === undefined) return missing('OS_PASSWORD', 'the password')
  return {
    version: 1,
    url,
    username: values.OS_USERNAME,
    password: values.OS_PASSWORD,
    ...(values.OS_STORAGE_URL === undefined ? {} : { storageUrl: values.OS_STORAGE_URL }),
  }
}

function unknownVersion(version: string): SettingProblem {
  if (version === '2')
    return invalid('OS_AUTH_URL', 'version 1 or 3 of the protocol: OpenStack has ended version 2 in 2018')
  return {
    ...invalid('OS_AUTH_URL', 'an address with v1 or v3 in it'),
    hint: 'or say it with OS_IDENTITY_API_VERSION',
  }
}

function missing(name: string, what: string): SettingProblem {
  return {
    code: 'SETTING_MISSING',
    names: [name],
    message: `WALG_SWIFT_PREFIX needs ${name}`,
    hint: `set ${name} to ${what}`,
  }
}

function invalid(name: string, expected: string): SettingProblem {
  return { code: 'SETTING_INVALID', names: [name], message: `${name} is not usable, expected ${expected}` }
}
