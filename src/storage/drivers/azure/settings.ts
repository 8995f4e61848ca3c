import { text } from '../../../kit/setting-parsers.ts'
import type { SettingParser, SettingsTableOf } from '../../../kit/settings.ts'
import { type BucketPlace, bucketPlace } from '../../bucket-place.ts'
import { driverOption, driverPrefix } from '../../driver-option.ts'

/** A repository in an Azure Blob Storage container. */
export interface AzureSettings {
  readonly WALG_AZ_PREFIX: BucketPlace | undefined
  readonly AZURE_STORAGE_ACCOUNT: string | undefined
  readonly AZURE_STORAGE_ACCESS_KEY: string | undefined
  readonly AZURE_STORAGE_SAS_TOKEN: string | undefined
  readonly AZURE_ENDPOINT_SUFFIX: string | undefined
  readonly AZURE_ENVIRONMENT_NAME: string
  readonly AZURE_BUFFER_SIZE: number
  readonly AZURE_MAX_BUFFERS: number
  readonly AZURE_TRY_TIMEOUT: number
  readonly AZURE_BLOB_STORE_API_VERSION: string | undefined
}

/** The end of the host name in each cloud; the names are the original's. */
export const ENDPOINT_SUFFIXES: Readonly<Record<string, string>> = {
  AzurePublicCloud: 'core.windows.net',
  AzureUSGovernmentCloud: 'core.usgovcloudapi.net',
  AzureChinaCloud: 'core.chinacloudapi.cn',
  AzureGermanCloud: 'core.cloudapi.de',
}

export const BLOCK_BYTES_MIN = 1024
/** What the service takes in one block. */
const BLOCK_BYTES_MAX = 4000 * 1024 * 1024

export const azureSettings: SettingsTableOf<AzureSettings> = {
  WALG_AZ_PREFIX: driverPrefix(
    'AZ',
    bucketPlace('azure', 'az'),
    'Container and path, `azure://container/path`.',
  ),
  AZURE_STORAGE_ACCOUNT: driverOption('AZURE_STORAGE_ACCOUNT', 'Name of the storage account.', {
    parse: text,
  }),
  AZURE_STORAGE_ACCESS_KEY: driverOption(
    'AZURE_STORAGE_ACCESS_KEY',
    'Key of the account. Without it AZURE_STORAGE_SAS_TOKEN is used; without both an identity: the environment, a workload or managed identity.',
    { parse: base64Key, secret: true },
  ),
  AZURE_STORAGE_SAS_TOKEN: driverOption(
    'AZURE_STORAGE_SAS_TOKEN',
    'Shared access signature for the container or the account; a leading `?` is allowed.',
    { parse: value => value.trim().replace(/^\?/, ''), secret: true },
  ),
  AZURE_ENDPOINT_SUFFIX: driverOption(
    'AZURE_ENDPOINT_SUFFIX',
    'End of the host name, as `core.windows.net`: requests go to `https://ACCOUNT.blob.SUFFIX`. A whole URL, as `http://127.0.0.1:10000/devstoreaccount1`, is used as it is (emulators, private addresses).',
    { parse: endpointSuffix },
  ),
  AZURE_ENVIRONMENT_NAME: driverOption(
    'AZURE_ENVIRONMENT_NAME',
    `The cloud, where AZURE_ENDPOINT_SUFFIX is not set: ${Object.keys(ENDPOINT_SUFFIXES).join(', ')}.`,
    { parse: cloudName, default: 'AzurePublicCloud' },
  ),
  AZURE_BUFFER_SIZE: driverOption(
    'AZURE_BUFFER_SIZE',
    'Bytes of a block; what fits into one is stored by a single request. Less than 1024 means 1024.',
    { parse: integerAtLeast(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX), default: 8 * 1024 * 1024 },
  ),
  AZURE_MAX_BUFFERS: driverOption(
    'AZURE_MAX_BUFFERS',
    'Blocks of one object in memory; one is filled while the others are sent. Less than 1 means 1.',
    { parse: integerAtLeast(1, 1000), default: 4 },
  ),
  AZURE_TRY_TIMEOUT: driverOption(
    'AZURE_TRY_TIMEOUT',
    'Minutes that one try of a request may last; 0: no limit of its own.',
    {
      parse: integerAtLeast(0, 24 * 60),
      default: 5,
    },
  ),
  AZURE_BLOB_STORE_API_VERSION: driverOption(
    'AZURE_BLOB_STORE_API_VERSION',
    'Version of the protocol (`x-ms-version`), for services that do not know the newest.',
    { parse: apiVersion },
  ),
}

function base64Key(value: string): string {
  const key = value.trim()
  if (key === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(key) || key.length % 4 !== 0)
    throw new Error('a key in base64')
  return key
}

function endpointSuffix(value: string): string {
  const suffix = value.trim()
  if (/^https?:\/\//.test(suffix)) return new URL(suffix).href.replace(/\/+$/, '')
  if (!/^\.?[A-Za-z0-9.-]+(:\d+)?$/.test(suffix))
    throw new Error('the end of a host name, as core.windows.net')
  return suffix.replace(/^\./, '')
}

function cloudName(value: string): string {
  const name = Object.keys(ENDPOINT_SUFFIXES).find(each => each.toLowerCase() === value.trim().toLowerCase())
  if (name === undefined) throw new Error(`one of ${Object.keys(ENDPOINT_SUFFIXES).join(', ')}`)
  return name
}

/** A whole number; a smaller one means `min`, as with the original. */
function integerAtLeast(min: number, max: number): SettingParser<number> {
  return value => {
    const number = /^[+-]?\d+$/.test(value.trim()) ? Number(value) : Number.NaN
    if (!(number <= max)) throw new Error(`a whole number from ${min} to ${max}`)
    return Math.max(number, min)
  }
}

function apiVersion(value: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(value.trim())) throw new Error('a date such as 2021-12-02')
  return value.trim()
}
