import { text } from '../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../kit/settings.ts'

/**
 * The settings of storages that are not built yet. A prefix chooses where data is stored, so a set one is an
 * error until its storage exists; the options alone have no effect. Spellings: bare, `WALG_`, `WALE_`.
 */
export const laterStorageSettings: SettingsTable = {
  ...prefix('S3', 'Bucket and path, `s3://bucket/path`.'),
  ...prefix('GS', 'Bucket and path, `gs://bucket/path`.'),
  ...prefix('AZ', 'Container and path, `azure://container/path`.'),
  ...prefix('OSS', 'Bucket and path, `oss://bucket/path`.'),
  ...prefix('SWIFT', 'Container and path, `swift://container/path`.'),
  ...prefix('SSH', 'Host and path, `ssh://host/path`.'),

  ...secret('S3', 'AWS_ACCESS_KEY_ID', 'Access key.', ['AWS_ACCESS_KEY']),
  ...secret('S3', 'AWS_SECRET_ACCESS_KEY', 'Secret key.', ['AWS_SECRET_KEY']),
  ...secret('S3', 'AWS_SESSION_TOKEN', 'Session token.'),
  ...option('S3', 'AWS_ROLE_ARN', 'Role to assume.'),
  ...option('S3', 'AWS_ROLE_SESSION_NAME', 'Name of the session of that role.'),
  ...option('S3', 'AWS_REGION', 'Region.'),
  ...option('S3', 'AWS_ENDPOINT', 'Address of another provider.'),
  ...option('S3', 'AWS_S3_FORCE_PATH_STYLE', 'Bucket in the path instead of in the host name.'),
  ...option('S3', 'AWS_DUAL_STACK', 'IPv6 and IPv4 endpoints.'),
  ...option('S3', 'S3_ENDPOINT_SOURCE', 'URL that tells the host to connect to.'),
  ...option('S3', 'S3_ENDPOINT_PORT', 'Port of that host.'),
  ...option('S3', 'S3_ENDPOINT_PROTOCOL', 'Protocol of that host.'),
  ...option('S3', 'S3_CA_CERT_FILE', 'Further certificate authorities.'),
  ...option('S3', 'S3_STORAGE_CLASS', 'Storage class of new objects.'),
  ...option('S3', 'S3_SSE', 'Server-side encryption.'),
  ...secret('S3', 'S3_SSE_C', 'Customer key of server-side encryption.'),
  ...option('S3', 'S3_SSE_KMS_ID', 'KMS key of server-side encryption.'),
  ...option('S3', 'S3_MAX_PART_SIZE', 'Size of a multipart part.'),
  ...option('S3', 'S3_USE_LIST_OBJECTS_V1', 'Old listing request.'),
  ...option('S3', 'S3_LOG_LEVEL', '`DEVEL` logs requests.'),
  ...option('S3', 'S3_RANGE_BATCH_ENABLED', 'Resume downloads.'),
  ...option('S3', 'S3_RANGE_MAX_RETRIES', 'How often.'),
  ...option('S3', 'S3_MAX_RETRIES', 'Retries of a request.'),
  ...option('S3', 'S3_MIN_THROTTLING_RETRY_DELAY', 'Shortest pause when throttled.'),
  ...option('S3', 'S3_MAX_THROTTLING_RETRY_DELAY', 'Longest pause when throttled.'),
  ...option('S3', 'S3_SKIP_VALIDATION', 'No listing at the start.'),
  ...option('S3', 'S3_USE_YC_SESSION_TOKEN', 'Token of a Yandex Cloud machine.'),
  ...option('S3', 'S3_REQUEST_ADDITIONAL_HEADERS', 'Further request headers.'),
  ...option('S3', 'S3_DISABLE_100_CONTINUE', 'No `Expect: 100-continue`.'),
  ...option('S3', 'S3_RETENTION_PERIOD', 'Object lock, in seconds.'),
  ...option('S3', 'S3_RETENTION_MODE', 'Kind of object lock.'),
  ...option('S3', 'S3_ENABLE_VERSIONING', 'Whether the bucket keeps versions.'),
  ...option('S3', 'S3_DELETE_BATCH_SIZE', 'Objects in one delete request.'),
  ...option('S3', 'UPLOAD_CONCURRENCY', 'Parts sent at a time.', []),

  ...secret('Google', 'GOOGLE_APPLICATION_CREDENTIALS', 'Credentials file.'),
  ...option('Google', 'GCS_CONTEXT_TIMEOUT', 'Longest request, in seconds.'),
  ...option('Google', 'GCS_NORMALIZE_PREFIX', 'Tidy the prefix.'),
  ...secret('Google', 'GCS_ENCRYPTION_KEY', 'Customer key.'),
  ...option('Google', 'GCS_MAX_CHUNK_SIZE', 'Size of a chunk.'),
  ...option('Google', 'GCS_MAX_RETRIES', 'Retries of a request.'),

  ...option('Azure', 'AZURE_STORAGE_ACCOUNT', 'Account.'),
  ...secret('Azure', 'AZURE_STORAGE_ACCESS_KEY', 'Key of the account.'),
  ...secret('Azure', 'AZURE_STORAGE_SAS_TOKEN', 'Shared access signature.'),
  ...option('Azure', 'AZURE_ENDPOINT_SUFFIX', 'End of the host name.'),
  ...option('Azure', 'AZURE_ENVIRONMENT_NAME', 'Which cloud.'),
  ...option('Azure', 'AZURE_BUFFER_SIZE', 'Size of a block.'),
  ...option('Azure', 'AZURE_MAX_BUFFERS', 'Blocks sent at a time.'),
  ...option('Azure', 'AZURE_TRY_TIMEOUT', 'Longest request, in minutes.'),
  ...option('Azure', 'AZURE_BLOB_STORE_API_VERSION', 'Version of the protocol.'),

  ...secret('OSS', 'OSS_ACCESS_KEY_ID', 'Access key.'),
  ...secret('OSS', 'OSS_ACCESS_KEY_SECRET', 'Secret key.'),
  ...secret('OSS', 'OSS_SESSION_TOKEN', 'Session token.'),
  ...option('OSS', 'OSS_REGION', 'Region.'),
  ...option('OSS', 'OSS_ENDPOINT', 'Address.'),
  ...option('OSS', 'OSS_ROLE_ARN', 'Role to assume.'),
  ...option('OSS', 'OSS_ROLE_SESSION_NAME', 'Name of the session of that role.'),
  ...option('OSS', 'OSS_SKIP_VALIDATION', 'No check at the start.'),
  ...option('OSS', 'OSS_MAX_RETRIES', 'Retries of a request.'),
  ...option('OSS', 'OSS_CONNECT_TIMEOUT', 'Longest wait for a connection, in seconds.'),
  ...option('OSS', 'OSS_UPLOAD_PART_SIZE', 'Size of an uploaded part.'),
  ...option('OSS', 'OSS_COPY_PART_SIZE', 'Size of a copied part.'),

  ...option('Swift', 'OS_AUTH_URL', 'Address of the identity service.'),
  ...option('Swift', 'OS_USERNAME', 'User.'),
  ...secret('Swift', 'OS_PASSWORD', 'Password.'),
  ...option('Swift', 'OS_TENANT_NAME', 'Tenant.'),
  ...option('Swift', 'OS_REGION_NAME', 'Region.'),

  ...option('SSH', 'SSH_PORT', 'Port.'),
  ...option('SSH', 'SSH_USERNAME', 'User.'),
  ...secret('SSH', 'SSH_PASSWORD', 'Password.'),
  ...option('SSH', 'SSH_PRIVATE_KEY_PATH', 'File with the private key.'),

  WALG_FAILOVER_STORAGES: {
    parse: text,
    secret: true,
    later: 'failover storages',
    doc: 'Further storages by name, each with its own settings.',
  },
  ...failover('CHECK', 'Whether storages are probed.'),
  ...failover('CHECK_TIMEOUT', 'Longest probe.'),
  ...failover('CHECK_SIZE', 'Size of the probe object.'),
  ...failover('CACHE_LIFETIME', 'How long a result is believed.'),
  ...failover('CACHE_EMA_ALIVE_LIMIT', 'Above it a dead storage is alive again.'),
  ...failover('CACHE_EMA_DEAD_LIMIT', 'Below it a storage is dead.'),
  ...failover('CACHE_EMA_ALPHA_ALIVE_MAX', 'Weight of a result while alive, at most.'),
  ...failover('CACHE_EMA_ALPHA_ALIVE_MIN', 'Weight of a result while alive, at least.'),
  ...failover('CACHE_EMA_ALPHA_DEAD_MAX', 'Weight of a result while dead, at most.'),
  ...failover('CACHE_EMA_ALPHA_DEAD_MIN', 'Weight of a result while dead, at least.'),
}

function prefix(type: string, doc: string): SettingsTable {
  return {
    [`WALG_${type}_PREFIX`]: {
      parse: text,
      aliases: [`WALE_${type}_PREFIX`],
      later: `the storage of WALG_${type}_PREFIX`,
      doc,
    },
  }
}

function option(
  storage: string,
  name: string,
  doc: string,
  moreNames: readonly string[] | undefined = undefined,
): SettingsTable {
  const definition: SettingDefinition<string> = {
    parse: text,
    aliases: moreNames ?? [`WALG_${name}`, `WALE_${name}`],
    ignored: `${storage} storage is a later piece`,
    doc,
  }
  return { [name]: definition }
}

function secret(
  storage: string,
  name: string,
  doc: string,
  moreNames: readonly string[] = [],
): SettingsTable {
  const spellings = [name, ...moreNames].flatMap(each => [each, `WALG_${each}`, `WALE_${each}`])
  const definition: SettingDefinition<string> = {
    parse: text,
    aliases: spellings.slice(1),
    secret: true,
    ignored: `${storage} storage is a later piece`,
    doc,
  }
  return { [name]: definition }
}

function failover(name: string, doc: string): SettingsTable {
  return {
    [`WALG_FAILOVER_STORAGES_${name}`]: {
      parse: text,
      ignored: 'failover storages are a later piece',
      doc,
    },
  }
}
