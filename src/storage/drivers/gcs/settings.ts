import { boolean, text, wholeNumber } from '../../../kit/setting-parsers.ts'
import type { SettingsTableOf } from '../../../kit/settings.ts'
import { type BucketPlace, bucketPlace } from '../../bucket-place.ts'
import { driverOption, driverPrefix } from '../../driver-option.ts'

/** A repository in a Google Cloud Storage bucket. */
export interface GcsSettings {
  readonly WALG_GS_PREFIX: BucketPlace | undefined
  readonly GOOGLE_APPLICATION_CREDENTIALS: string | undefined
  readonly GCS_CONTEXT_TIMEOUT: number
  readonly GCS_NORMALIZE_PREFIX: boolean
  readonly GCS_ENCRYPTION_KEY: string | undefined
  readonly GCS_MAX_CHUNK_SIZE: number
  readonly GCS_MAX_RETRIES: number
  readonly STORAGE_EMULATOR_HOST: string | undefined
}

/** The service takes a large object in multiples of this. */
export const CHUNK_UNIT_BYTES: number = 256 * 1024

export const gcsSettings: SettingsTableOf<GcsSettings> = {
  WALG_GS_PREFIX: driverPrefix('GS', bucketPlace('gs', 'gcs'), 'Bucket and path, `gs://bucket/path`.'),
  GOOGLE_APPLICATION_CREDENTIALS: driverOption(
    'GOOGLE_APPLICATION_CREDENTIALS',
    'File with the key of a service account, an authorized user or an external account. Without it: what `gcloud` left in the home directory, then the metadata server of the machine.',
    { parse: text },
  ),
  GCS_CONTEXT_TIMEOUT: driverOption(
    'GCS_CONTEXT_TIMEOUT',
    'Seconds that one request may last, with its retries.',
    {
      parse: wholeNumber({ min: 1, max: 1_000_000 }),
      default: 3600,
    },
  ),
  GCS_NORMALIZE_PREFIX: driverOption(
    'GCS_NORMALIZE_PREFIX',
    'Whether slashes at the ends of the path are dropped. They always are: a key never begins with one.',
    { parse: boolean, default: true, ignored: 'the original stores under the same names, or panics' },
  ),
  GCS_ENCRYPTION_KEY: driverOption(
    'GCS_ENCRYPTION_KEY',
    'A key of 32 bytes in base64 with which the service encrypts each object (customer-supplied encryption key). It is sent with every request and kept by nobody else.',
    { parse: customerKey, secret: true },
  ),
  GCS_MAX_CHUNK_SIZE: driverOption(
    'GCS_MAX_CHUNK_SIZE',
    'Bytes sent by one request of a large object, rounded down to a multiple of 256 KiB; two such buffers are held for each object. What fits into one is stored by a single request.',
    { parse: chunkSize, default: 16 * 1024 * 1024 },
  ),
  GCS_MAX_RETRIES: driverOption('GCS_MAX_RETRIES', 'Tries of one request.', {
    parse: wholeNumber({ min: 0, max: 1000 }),
    default: 16,
  }),
  STORAGE_EMULATOR_HOST: {
    parse: emulatorAddress,
    isStorageOption: true,
    doc: 'Address of an emulator, `127.0.0.1:4443` or a URL; it is asked without credentials.',
  },
}

function customerKey(value: string): string {
  const key = value.trim()
  const bytes = Buffer.from(key, 'base64')
  if (bytes.length !== 32 || bytes.toString('base64') !== key) throw new Error('32 bytes in base64')
  return key
}

function chunkSize(value: string): number {
  const bytes = /^[+-]?\d+$/.test(value.trim()) ? Number(value) : Number.NaN
  if (!Number.isSafeInteger(bytes) || bytes > 1024 ** 3)
    throw new Error('a whole number of bytes, at most 1 GiB')
  return Math.max(bytes - (bytes % CHUNK_UNIT_BYTES), CHUNK_UNIT_BYTES)
}

function emulatorAddress(value: string): string {
  const given = value.trim()
  const address = /^https?:\/\//.test(given) ? given : `http://${given}`
  if (!URL.canParse(address)) throw new Error('a host with a port, or a URL')
  return new URL(address).origin
}
