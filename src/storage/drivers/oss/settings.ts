import { boolean, byteSize, text, wholeNumber } from '../../../kit/setting-parsers.ts'
import type { SettingsTableOf } from '../../../kit/settings.ts'
import { type BucketPlace, bucketPlace } from '../../bucket-place.ts'
import { driverOption, driverPrefix } from '../../driver-option.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** Limits of the service for one part. */
const PART_BYTES_MIN = 100 * KIB
const PART_BYTES_MAX = 5 * 1024 * MIB

/** A repository in a bucket of Alibaba Cloud OSS. */
export interface OssSettings {
  readonly WALG_OSS_PREFIX: BucketPlace | undefined
  readonly OSS_ACCESS_KEY_ID: string | undefined
  readonly OSS_ACCESS_KEY_SECRET: string | undefined
  readonly OSS_SESSION_TOKEN: string | undefined
  readonly OSS_REGION: string | undefined
  readonly OSS_ENDPOINT: string | undefined
  readonly OSS_ROLE_ARN: string | undefined
  readonly OSS_ROLE_SESSION_NAME: string
  readonly OSS_STS_ENDPOINT: string | undefined
  readonly OSS_SKIP_VALIDATION: boolean
  readonly OSS_MAX_RETRIES: number
  readonly OSS_CONNECT_TIMEOUT: number
  readonly OSS_UPLOAD_PART_SIZE: number
  readonly OSS_COPY_PART_SIZE: number
}

export const ossSettings: SettingsTableOf<OssSettings> = {
  WALG_OSS_PREFIX: driverPrefix(
    'OSS',
    bucketPlace('oss'),
    'Bucket and path of the repository, `oss://bucket/path`. The bucket must exist.',
  ),
  OSS_ACCESS_KEY_ID: secret('OSS_ACCESS_KEY_ID', 'Access key.'),
  OSS_ACCESS_KEY_SECRET: secret('OSS_ACCESS_KEY_SECRET', 'Secret of the access key.'),
  OSS_SESSION_TOKEN: secret('OSS_SESSION_TOKEN', 'Security token of a temporary access key.'),
  OSS_REGION: option(
    'OSS_REGION',
    'Region of the bucket, such as `cn-hangzhou`; found in the endpoint where that is one of Alibaba.',
  ),
  OSS_ENDPOINT: option(
    'OSS_ENDPOINT',
    'Address of the service, such as `oss-cn-hangzhou-internal.aliyuncs.com` within the cloud; `https` unless it says so. Without it the public one of the region.',
  ),
  OSS_ROLE_ARN: option('OSS_ROLE_ARN', 'Role to assume with the access key (STS).'),
  OSS_ROLE_SESSION_NAME: driverOption('OSS_ROLE_SESSION_NAME', 'Name of the session of that role.', {
    parse: text,
    default: 'wal-g',
  }),
  OSS_STS_ENDPOINT: option(
    'OSS_STS_ENDPOINT',
    'Address of STS, where it is not that of the region. Not in the original.',
  ),
  OSS_SKIP_VALIDATION: driverOption(
    'OSS_SKIP_VALIDATION',
    'Nothing is listed at the start, for keys that may not list.',
    {
      parse: boolean,
      default: false,
    },
  ),
  OSS_MAX_RETRIES: driverOption('OSS_MAX_RETRIES', 'Tries of a request after the first.', {
    parse: wholeNumber({ max: 100 }),
    default: 5,
  }),
  OSS_CONNECT_TIMEOUT: driverOption('OSS_CONNECT_TIMEOUT', 'Longest wait for a connection, in seconds.', {
    parse: wholeNumber({ min: 1, max: 3600 }),
    default: 5,
  }),
  OSS_UPLOAD_PART_SIZE: driverOption(
    'OSS_UPLOAD_PART_SIZE',
    'Size of an uploaded part; an object that fits is one request.',
    {
      parse: partSize,
      default: 6 * MIB,
      defaultText: '6MiB',
    },
  ),
  OSS_COPY_PART_SIZE: driverOption('OSS_COPY_PART_SIZE', 'Size of a copied part.', {
    parse: partSize,
    default: 64 * MIB,
    defaultText: '64MiB',
  }),
}

function option(name: string, doc: string) {
  return driverOption(name, doc, { parse: text })
}

function secret(name: string, doc: string) {
  return driverOption(name, doc, { parse: text, secret: true })
}

function partSize(given: string): number {
  const bytes = byteSize()(given)
  if (bytes < PART_BYTES_MIN || bytes > PART_BYTES_MAX) throw new Error('a size from 100KiB to 5GiB')
  return bytes
}
