import { text } from '../../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../../../kit/settings.ts'
import { driverOption, laterPrefix } from '../../driver-option.ts'

/** The settings of a storage that is not built yet: its prefix is an error, its options have no effect. */
export const s3Settings: SettingsTable = {
  WALG_S3_PREFIX: laterPrefix('S3', 'Bucket and path, `s3://bucket/path`.'),
  AWS_ACCESS_KEY_ID: option('AWS_ACCESS_KEY_ID', 'Access key.', {
    isSecret: true,
    otherNames: ['AWS_ACCESS_KEY'],
  }),
  AWS_SECRET_ACCESS_KEY: option('AWS_SECRET_ACCESS_KEY', 'Secret key.', {
    isSecret: true,
    otherNames: ['AWS_SECRET_KEY'],
  }),
  AWS_SESSION_TOKEN: option('AWS_SESSION_TOKEN', 'Session token.', { isSecret: true }),
  AWS_ROLE_ARN: option('AWS_ROLE_ARN', 'Role to assume.'),
  AWS_ROLE_SESSION_NAME: option('AWS_ROLE_SESSION_NAME', 'Name of the session of that role.'),
  AWS_REGION: option('AWS_REGION', 'Region.'),
  AWS_ENDPOINT: option('AWS_ENDPOINT', 'Address of another provider.'),
  AWS_S3_FORCE_PATH_STYLE: option(
    'AWS_S3_FORCE_PATH_STYLE',
    'Bucket in the path instead of in the host name.',
  ),
  AWS_DUAL_STACK: option('AWS_DUAL_STACK', 'IPv6 and IPv4 endpoints.'),
  S3_ENDPOINT_SOURCE: option('S3_ENDPOINT_SOURCE', 'URL that tells the host to connect to.'),
  S3_ENDPOINT_PORT: option('S3_ENDPOINT_PORT', 'Port of that host.'),
  S3_ENDPOINT_PROTOCOL: option('S3_ENDPOINT_PROTOCOL', 'Protocol of that host.'),
  S3_CA_CERT_FILE: option('S3_CA_CERT_FILE', 'Further certificate authorities.'),
  S3_STORAGE_CLASS: option('S3_STORAGE_CLASS', 'Storage class of new objects.'),
  S3_SSE: option('S3_SSE', 'Server-side encryption.'),
  S3_SSE_C: option('S3_SSE_C', 'Customer key of server-side encryption.', { isSecret: true }),
  S3_SSE_KMS_ID: option('S3_SSE_KMS_ID', 'KMS key of server-side encryption.'),
  S3_MAX_PART_SIZE: option('S3_MAX_PART_SIZE', 'Size of a multipart part.'),
  S3_USE_LIST_OBJECTS_V1: option('S3_USE_LIST_OBJECTS_V1', 'Old listing request.'),
  S3_LOG_LEVEL: option('S3_LOG_LEVEL', '`DEVEL` logs requests.'),
  S3_RANGE_BATCH_ENABLED: option('S3_RANGE_BATCH_ENABLED', 'Resume downloads.'),
  S3_RANGE_MAX_RETRIES: option('S3_RANGE_MAX_RETRIES', 'How often.'),
  S3_MAX_RETRIES: option('S3_MAX_RETRIES', 'Retries of a request.'),
  S3_MIN_THROTTLING_RETRY_DELAY: option('S3_MIN_THROTTLING_RETRY_DELAY', 'Shortest pause when throttled.'),
  S3_MAX_THROTTLING_RETRY_DELAY: option('S3_MAX_THROTTLING_RETRY_DELAY', 'Longest pause when throttled.'),
  S3_SKIP_VALIDATION: option('S3_SKIP_VALIDATION', 'No listing at the start.'),
  S3_USE_YC_SESSION_TOKEN: option('S3_USE_YC_SESSION_TOKEN', 'Token of a Yandex Cloud machine.'),
  S3_REQUEST_ADDITIONAL_HEADERS: option('S3_REQUEST_ADDITIONAL_HEADERS', 'Further request headers.'),
  S3_DISABLE_100_CONTINUE: option('S3_DISABLE_100_CONTINUE', 'No `Expect: 100-continue`.'),
  S3_RETENTION_PERIOD: option('S3_RETENTION_PERIOD', 'Object lock, in seconds.'),
  S3_RETENTION_MODE: option('S3_RETENTION_MODE', 'Kind of object lock.'),
  S3_ENABLE_VERSIONING: option('S3_ENABLE_VERSIONING', 'Whether the bucket keeps versions.'),
  S3_DELETE_BATCH_SIZE: option('S3_DELETE_BATCH_SIZE', 'Objects in one delete request.'),
  UPLOAD_CONCURRENCY: { parse: text, ignored: 'S3 storage is a later piece', doc: 'Parts sent at a time.' },
}

function option(
  name: string,
  doc: string,
  { isSecret = false, otherNames = [] }: { isSecret?: boolean; otherNames?: string[] } = {},
): SettingDefinition<string> {
  const ignored = 'S3 storage is a later piece'
  return driverOption(name, doc, { parse: text, secret: isSecret, otherNames, ignored })
}
