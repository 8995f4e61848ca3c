import { readTable, type SettingProblem, type SettingTexts } from '../../../kit/settings.ts'
import type { DriverReading } from '../../driver-reading.ts'
import type { AzureCredentials, AzureDescription } from './description.ts'
import { type AzureSettings, azureSettings, ENDPOINT_SUFFIXES } from './settings.ts'

const NO_ACCOUNT: SettingProblem = {
  code: 'SETTING_MISSING',
  names: ['AZURE_STORAGE_ACCOUNT'],
  message: 'AZURE_STORAGE_ACCOUNT is not set, but WALG_AZ_PREFIX is',
  hint: 'set AZURE_STORAGE_ACCOUNT to the name of the storage account',
}

/** The original has no setting for it; its client tries as often. */
const ATTEMPTS_MAX = 6
/** A timer cannot be longer. */
const DAY_MS = 24 * 60 * 60 * 1000

/** Reads WALG_AZ_PREFIX and the AZURE_… options. */
export async function readAzure(texts: SettingTexts): Promise<DriverReading<AzureDescription>> {
  const { values, problems } = readTable(azureSettings, texts)
  const place = values.WALG_AZ_PREFIX
  const account = values.AZURE_STORAGE_ACCOUNT?.trim() ?? ''
  const all = account === '' ? [...problems, NO_ACCOUNT] : problems
  if (place === undefined || all.length > 0) return { problems: all, warnings: [] }
  const tryTimeoutMs = values.AZURE_TRY_TIMEOUT === 0 ? DAY_MS : values.AZURE_TRY_TIMEOUT * 60_000
  return {
    description: {
      kind: 'azure',
      container: place.bucket,
      root: place.root,
      account,
      serviceUrl: serviceUrlOf(account, values),
      credentials: credentialsOf(values),
      blockSizeBytes: values.AZURE_BUFFER_SIZE,
      blocksMax: values.AZURE_MAX_BUFFERS,
      tryTimeoutMs,
      attemptsMax: ATTEMPTS_MAX,
      apiVersion: values.AZURE_BLOB_STORE_API_VERSION,
    },
    problems: [],
    warnings: warningsOf(values),
  }
}

function credentialsOf(values: AzureSettings): AzureCredentials {
  const { AZURE_STORAGE_ACCESS_KEY: key, AZURE_STORAGE_SAS_TOKEN: token } = values
  if (key !== undefined && key !== '') return { kind: 'key', key }
  if (token !== undefined && token !== '') return { kind: 'sas', token }
  return { kind: 'identity' }
}

function serviceUrlOf(account: string, values: AzureSettings): string {
  const suffix = values.AZURE_ENDPOINT_SUFFIX ?? ENDPOINT_SUFFIXES[values.AZURE_ENVIRONMENT_NAME] ?? ''
  return suffix.includes('://') ? suffix : `https://${account}.blob.${suffix}`
}

function warningsOf(values: AzureSettings): string[] {
  const { AZURE_STORAGE_ACCESS_KEY: key, AZURE_STORAGE_SAS_TOKEN: token } = values
  return key !== undefined && token !== undefined
    ? ['AZURE_STORAGE_ACCESS_KEY and AZURE_STORAGE_SAS_TOKEN are set: the key is used']
    : []
}
