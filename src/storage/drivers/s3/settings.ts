import {
  boolean,
  byteSize,
  concurrency,
  oneOf,
  oneOfAnyCase,
  text,
  wholeNumber,
} from '../../../kit/setting-parsers.ts'
import type { SettingsTableOf } from '../../../kit/settings.ts'
import { type BucketPlace, bucketPlace } from '../../bucket-place.ts'
import { driverOption, driverPrefix } from '../../driver-option.ts'

const MIB = 1024 * 1024
const PART_SIZE_BYTES_MIN = 5 * MIB
const PART_SIZE_BYTES_MAX = 5 * 1024 * MIB

/** A repository in an S3 bucket, of AWS or of anybody who speaks its language. */
export interface S3Settings {
  readonly WALG_S3_PREFIX: BucketPlace | undefined
  readonly AWS_ACCESS_KEY_ID: string | undefined
  readonly AWS_SECRET_ACCESS_KEY: string | undefined
  readonly AWS_SESSION_TOKEN: string | undefined
  readonly AWS_ROLE_ARN: string | undefined
  readonly AWS_ROLE_SESSION_NAME: string | undefined
  readonly AWS_REGION: string | undefined
  readonly AWS_ENDPOINT: string | undefined
  readonly AWS_S3_FORCE_PATH_STYLE: boolean
  readonly AWS_DUAL_STACK: boolean
  readonly S3_ENDPOINT_SOURCE: string | undefined
  readonly S3_ENDPOINT_PORT: number
  readonly S3_ENDPOINT_PROTOCOL: 'http' | 'https' | undefined
  readonly S3_CA_CERT_FILE: string | undefined
  readonly S3_STORAGE_CLASS: string
  readonly S3_SSE: string | undefined
  readonly S3_SSE_C: string | undefined
  readonly S3_SSE_KMS_ID: string | undefined
  readonly S3_MAX_PART_SIZE: number
  readonly UPLOAD_CONCURRENCY: number | undefined
  readonly S3_USE_LIST_OBJECTS_V1: boolean
  readonly S3_LOG_LEVEL: string | undefined
  readonly S3_RANGE_BATCH_ENABLED: boolean
  readonly S3_RANGE_MAX_RETRIES: number
  readonly S3_MAX_RETRIES: number
  readonly S3_MIN_THROTTLING_RETRY_DELAY: number
  readonly S3_MAX_THROTTLING_RETRY_DELAY: number
  readonly S3_SKIP_VALIDATION: boolean
  readonly S3_USE_YC_SESSION_TOKEN: boolean
  readonly S3_REQUEST_ADDITIONAL_HEADERS: string | undefined
  readonly S3_DISABLE_100_CONTINUE: boolean
  readonly S3_RETENTION_PERIOD: number
  readonly S3_RETENTION_MODE: 'GOVERNANCE' | 'COMPLIANCE'
  readonly S3_ENABLE_VERSIONING: 'enabled' | 'disabled' | undefined
  readonly S3_DELETE_BATCH_SIZE: number
  readonly S3_CONDITIONAL_PUT: 'ask' | 'yes' | 'no'
  readonly S3_SIGN_PAYLOAD: boolean | undefined
}

export const s3Settings: SettingsTableOf<S3Settings> = {
  WALG_S3_PREFIX: driverPrefix('S3', bucketPlace('s3'), 'Bucket and path, `s3://bucket/path`.'),
  AWS_ACCESS_KEY_ID: secret('AWS_ACCESS_KEY_ID', 'Access key.', ['AWS_ACCESS_KEY']),
  AWS_SECRET_ACCESS_KEY: secret('AWS_SECRET_ACCESS_KEY', 'Secret key.', ['AWS_SECRET_KEY']),
  AWS_SESSION_TOKEN: secret('AWS_SESSION_TOKEN', 'Session token of temporary keys.'),
  AWS_ROLE_ARN: driverOption(
    'AWS_ROLE_ARN',
    'Role to assume by STS, with the keys above or those that are found. With AWS_WEB_IDENTITY_TOKEN_FILE in the environment the role is taken by that token.',
    { parse: text },
  ),
  AWS_ROLE_SESSION_NAME: driverOption('AWS_ROLE_SESSION_NAME', 'Name of the session of that role.', {
    parse: text,
    defaultText: '`wal-g`',
  }),
  AWS_REGION: driverOption('AWS_REGION', 'Region. Without it AWS is asked, once per process.', {
    parse: text,
    defaultText: 'learned from AWS; `us-east-1` elsewhere',
  }),
  AWS_ENDPOINT: driverOption('AWS_ENDPOINT', 'Address of another provider, `https://host:port`.', {
    parse: endpointAddress,
    defaultText: 'AWS',
  }),
  AWS_S3_FORCE_PATH_STYLE: flag(
    'AWS_S3_FORCE_PATH_STYLE',
    'Bucket in the path instead of in the host name.',
    false,
  ),
  AWS_DUAL_STACK: flag('AWS_DUAL_STACK', 'The endpoints of AWS that have IPv6, too.', false),
  S3_ENDPOINT_SOURCE: driverOption(
    'S3_ENDPOINT_SOURCE',
    'URL whose body is the host to connect to, asked anew for every connection; the name of AWS_ENDPOINT stays in the request. When it does not answer, AWS_ENDPOINT is used.',
    { parse: httpUrl },
  ),
  S3_ENDPOINT_PORT: driverOption('S3_ENDPOINT_PORT', 'Port of that host.', {
    parse: wholeNumber({ min: 1, max: 65535 }),
    default: 443,
  }),
  S3_ENDPOINT_PROTOCOL: driverOption('S3_ENDPOINT_PROTOCOL', 'Protocol of that host.', {
    parse: oneOf('http', 'https'),
    defaultText: 'that of AWS_ENDPOINT',
  }),
  S3_CA_CERT_FILE: driverOption(
    'S3_CA_CERT_FILE',
    'File with certificate authorities, PEM, to trust for this storage.',
    { parse: text },
  ),
  S3_STORAGE_CLASS: driverOption(
    'S3_STORAGE_CLASS',
    'Storage class of new objects. A class that must be restored before reading (GLACIER, DEEP_ARCHIVE) is used for the tar files of backups only.',
    { parse: value => value.trim(), default: 'STANDARD' },
  ),
  S3_SSE: driverOption('S3_SSE', 'Server-side encryption: `AES256`, or `aws:kms` with S3_SSE_KMS_ID.', {
    parse: text,
  }),
  S3_SSE_C: secret(
    'S3_SSE_C',
    'Customer key of server-side encryption: 32 characters, or 32 bytes in base64. Needs S3_SSE=AES256 and https.',
  ),
  S3_SSE_KMS_ID: driverOption('S3_SSE_KMS_ID', 'KMS key of server-side encryption; needs S3_SSE=aws:kms.', {
    parse: text,
  }),
  S3_MAX_PART_SIZE: driverOption('S3_MAX_PART_SIZE', 'Size of a multipart part.', {
    parse: partSize,
    default: 20 * MIB,
    defaultText: '`20m`',
  }),
  UPLOAD_CONCURRENCY: {
    parse: concurrency(1024),
    isStorageOption: true,
    doc: 'Parts of one object under way at a time, at most; more than two only while the network is slower than the backup, and within WALG_MEMORY_LIMIT.',
    defaultText: 'WALG_UPLOAD_CONCURRENCY',
  },
  S3_USE_LIST_OBJECTS_V1: flag('S3_USE_LIST_OBJECTS_V1', 'The old listing request.', false),
  S3_LOG_LEVEL: driverOption('S3_LOG_LEVEL', '`DEVEL` says every request and its answer.', { parse: text }),
  S3_RANGE_BATCH_ENABLED: flag(
    'S3_RANGE_BATCH_ENABLED',
    'A broken download goes on behind its last byte.',
    true,
  ),
  S3_RANGE_MAX_RETRIES: count(
    'S3_RANGE_MAX_RETRIES',
    'How often one download goes on without getting further.',
    10,
  ),
  S3_MAX_RETRIES: count('S3_MAX_RETRIES', 'Retries of a request, within the time a command has.', 15),
  S3_MIN_THROTTLING_RETRY_DELAY: count(
    'S3_MIN_THROTTLING_RETRY_DELAY',
    'First pause when the storage asks to slow down, in milliseconds.',
    500,
  ),
  S3_MAX_THROTTLING_RETRY_DELAY: count('S3_MAX_THROTTLING_RETRY_DELAY', 'Longest such pause.', 300_000),
  S3_SKIP_VALIDATION: flag(
    'S3_SKIP_VALIDATION',
    'wal-push does not ask for the bucket first: its own request answers the same question. Every other command asks.',
    true,
  ),
  S3_USE_YC_SESSION_TOKEN: flag(
    'S3_USE_YC_SESSION_TOKEN',
    'Token of a Yandex Cloud machine, taken from its metadata.',
    false,
  ),
  S3_REQUEST_ADDITIONAL_HEADERS: driverOption(
    'S3_REQUEST_ADDITIONAL_HEADERS',
    'Further request headers, as a map or a list of maps in YAML or JSON.',
    { parse: text },
  ),
  S3_DISABLE_100_CONTINUE: flag(
    'S3_DISABLE_100_CONTINUE',
    '`Expect: 100-continue` is never sent: an answer that comes early ends the upload just as well.',
    false,
  ),
  S3_RETENTION_PERIOD: driverOption(
    'S3_RETENTION_PERIOD',
    'Object lock of new objects, in seconds; -1 for none.',
    { parse: wholeNumber({ min: -1 }), default: -1 },
  ),
  S3_RETENTION_MODE: driverOption('S3_RETENTION_MODE', 'Kind of object lock.', {
    parse: oneOf('GOVERNANCE', 'COMPLIANCE'),
    default: 'GOVERNANCE',
  }),
  S3_ENABLE_VERSIONING: driverOption('S3_ENABLE_VERSIONING', 'Whether the bucket keeps versions.', {
    parse: oneOfAnyCase('enabled', 'disabled'),
    defaultText: 'the bucket is asked when it matters',
  }),
  S3_DELETE_BATCH_SIZE: driverOption('S3_DELETE_BATCH_SIZE', 'Objects in one delete request.', {
    parse: wholeNumber({ min: 1, max: 1000 }),
    default: 1000,
  }),
  S3_CONDITIONAL_PUT: driverOption(
    'S3_CONDITIONAL_PUT',
    'Ours. Whether the store knows `If-None-Match: *`, by which WAL is never overwritten even when two push at once. `ask`: it is tried, and a store that refuses it is taken at its word.',
    { parse: oneOfAnyCase('ask', 'yes', 'no'), default: 'ask' },
  ),
  S3_SIGN_PAYLOAD: driverOption(
    'S3_SIGN_PAYLOAD',
    'Ours. Whether the hash of what is sent is part of the signature. It costs half a CPU second per GB.',
    { parse: boolean, defaultText: 'over http, where nothing else protects it' },
  ),
}

function secret(name: string, doc: string, otherNames: readonly string[] = []) {
  return driverOption(name, doc, { parse: value => value.trim(), secret: true, otherNames })
}

function flag(name: string, doc: string, byDefault: boolean) {
  return driverOption(name, doc, { parse: boolean, default: byDefault })
}

function count(name: string, doc: string, byDefault: number) {
  return driverOption(name, doc, { parse: wholeNumber(), default: byDefault })
}

function partSize(value: string): number {
  const bytes = byteSize(PART_SIZE_BYTES_MIN)(value)
  if (bytes > PART_SIZE_BYTES_MAX) throw new Error('at most 5g')
  return bytes
}

/** A URL without a path; without a scheme https is meant. */
function endpointAddress(value: string): string {
  const trimmed = value.trim()
  const url = URL.parse(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `https://${trimmed}`)
  const isAddress =
    url !== null &&
    ['http:', 'https:'].includes(url.protocol) &&
    url.hostname !== '' &&
    url.pathname === '/' &&
    url.search === ''
  if (!isAddress) throw new Error('an address such as https://s3.example.com or http://127.0.0.1:9000')
  return url.origin
}

function httpUrl(value: string): string {
  const url = URL.parse(value.trim())
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error('a URL, http:// or https://')
  return url.href
}
