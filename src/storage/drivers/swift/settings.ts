import { byteSize, oneOfAnyCase, text, wholeNumber } from '../../../kit/setting-parsers.ts'
import type { SettingsTableOf } from '../../../kit/settings.ts'
import { type BucketPlace, bucketPlace } from '../../bucket-place.ts'
import { driverOption, driverPrefix } from '../../driver-option.ts'

const MIB = 1024 * 1024
/** The most that a cluster takes in one request, as it is shipped. */
const SEGMENT_BYTES_MAX = 5 * 1024 * MIB

/** A repository in a container of OpenStack Swift. */
export interface SwiftSettings {
  readonly WALG_SWIFT_PREFIX: BucketPlace | undefined
  readonly OS_AUTH_URL: string | undefined
  readonly OS_IDENTITY_API_VERSION: string | undefined
  readonly OS_USERNAME: string | undefined
  readonly OS_USER_ID: string | undefined
  readonly OS_PASSWORD: string | undefined
  readonly OS_USER_DOMAIN_NAME: string | undefined
  readonly OS_USER_DOMAIN_ID: string | undefined
  readonly OS_TENANT_NAME: string | undefined
  readonly OS_TENANT_ID: string | undefined
  readonly OS_PROJECT_DOMAIN_NAME: string | undefined
  readonly OS_PROJECT_DOMAIN_ID: string | undefined
  readonly OS_APPLICATION_CREDENTIAL_ID: string | undefined
  readonly OS_APPLICATION_CREDENTIAL_NAME: string | undefined
  readonly OS_APPLICATION_CREDENTIAL_SECRET: string | undefined
  readonly OS_TRUST_ID: string | undefined
  readonly OS_REGION_NAME: string | undefined
  readonly OS_ENDPOINT_TYPE: 'public' | 'internal' | 'admin' | 'publicURL' | 'internalURL' | 'adminURL'
  readonly OS_STORAGE_URL: string | undefined
  readonly OS_AUTH_TOKEN: string | undefined
  readonly OS_CACERT: string | undefined
  readonly SWIFT_SEGMENT_SIZE: number
  readonly SWIFT_UPLOAD_CONCURRENCY: number
}

export const swiftSettings: SettingsTableOf<SwiftSettings> = {
  WALG_SWIFT_PREFIX: driverPrefix(
    'SWIFT',
    bucketPlace('swift'),
    'Container and path of the repository, `swift://container/path`. The container must exist.',
  ),
  OS_AUTH_URL: option(
    'OS_AUTH_URL',
    'Address of the identity service, such as `https://keystone:5000/v3` or `https://swift/auth/v1.0`.',
    ['ST_AUTH'],
  ),
  OS_IDENTITY_API_VERSION: option(
    'OS_IDENTITY_API_VERSION',
    'Version of its protocol, `1` or `3`, where the address does not say so.',
    ['ST_AUTH_VERSION'],
  ),
  OS_USERNAME: option('OS_USERNAME', 'User.', ['ST_USER']),
  OS_USER_ID: option('OS_USER_ID', 'Identifier of the user, instead of the name.'),
  OS_PASSWORD: secret('OS_PASSWORD', 'Password.', ['ST_KEY']),
  OS_USER_DOMAIN_NAME: option('OS_USER_DOMAIN_NAME', 'Domain of the user; the domain `default` without it.'),
  OS_USER_DOMAIN_ID: option('OS_USER_DOMAIN_ID', 'Identifier of that domain.'),
  OS_TENANT_NAME: option('OS_TENANT_NAME', 'Project.', ['OS_PROJECT_NAME']),
  OS_TENANT_ID: option('OS_TENANT_ID', 'Identifier of the project.', ['OS_PROJECT_ID']),
  OS_PROJECT_DOMAIN_NAME: option(
    'OS_PROJECT_DOMAIN_NAME',
    'Domain of the project; that of the user without it.',
  ),
  OS_PROJECT_DOMAIN_ID: option('OS_PROJECT_DOMAIN_ID', 'Identifier of that domain.'),
  OS_APPLICATION_CREDENTIAL_ID: option(
    'OS_APPLICATION_CREDENTIAL_ID',
    'Application credential, instead of user and project.',
  ),
  OS_APPLICATION_CREDENTIAL_NAME: option(
    'OS_APPLICATION_CREDENTIAL_NAME',
    'Name of the application credential; needs the user.',
  ),
  OS_APPLICATION_CREDENTIAL_SECRET: secret(
    'OS_APPLICATION_CREDENTIAL_SECRET',
    'Secret of the application credential.',
  ),
  OS_TRUST_ID: option('OS_TRUST_ID', 'Trust to act by, instead of a project.'),
  OS_REGION_NAME: option('OS_REGION_NAME', 'Region of the container; the first of the catalogue without it.'),
  OS_ENDPOINT_TYPE: driverOption('OS_ENDPOINT_TYPE', 'Which address of the catalogue is used.', {
    parse: oneOfAnyCase('public', 'internal', 'admin', 'publicURL', 'internalURL', 'adminURL'),
    default: 'public',
    otherNames: ['OS_INTERFACE'],
  }),
  OS_STORAGE_URL: option(
    'OS_STORAGE_URL',
    "Address of the account, instead of the identity service's answer.",
  ),
  OS_AUTH_TOKEN: secret(
    'OS_AUTH_TOKEN',
    'A token, instead of a password. With `OS_STORAGE_URL` and no `OS_AUTH_URL` it is used as it is.',
  ),
  OS_CACERT: option('OS_CACERT', 'File with further certificate authorities, PEM. Not in the original.'),
  SWIFT_SEGMENT_SIZE: driverOption(
    'SWIFT_SEGMENT_SIZE',
    'A larger object is stored in segments of this size, with a manifest (SLO); what fits is one plain object. Not in the original, which stores every object as a plain one of at most 5 GiB.',
    { parse: segmentSize, default: 20 * MIB, defaultText: '20MiB' },
  ),
  SWIFT_UPLOAD_CONCURRENCY: driverOption(
    'SWIFT_UPLOAD_CONCURRENCY',
    'Buffers of one segment for each object that is written; one is filled while the others are sent. Not in the original.',
    { parse: wholeNumber({ min: 2, max: 64 }), default: 2 },
  ),
}

function option(name: string, doc: string, otherNames: readonly string[] = []) {
  return driverOption(name, doc, { parse: text, otherNames })
}

function secret(name: string, doc: string, otherNames: readonly string[] = []) {
  return driverOption(name, doc, { parse: text, secret: true, otherNames })
}

function segmentSize(given: string): number {
  const bytes = byteSize(64 * 1024)(given)
  if (bytes > SEGMENT_BYTES_MAX) throw new Error('at most 5g, which is what a cluster takes in one request')
  return bytes
}
