import type { EncryptionSettings } from '../settings.ts'
import type { AwsKmsKey, EnvelopeKey, YandexKmsKey } from './description.ts'
import { type Findings, readKeyFile } from './key-file.ts'

/** The storage's table has these; a config file may hold them, which the SDK does not read. */
interface AwsCredentialSettings {
  readonly AWS_ACCESS_KEY_ID?: string | undefined
  readonly AWS_SECRET_ACCESS_KEY?: string | undefined
  readonly AWS_SESSION_TOKEN?: string | undefined
}

/** Keys of one service: to encrypt with, and those that older objects need. */
export interface ServiceKeys<K> {
  readonly write: K | undefined
  readonly old: readonly K[]
}

/** The keys of AWS KMS, if any. */
export function readAwsKmsKeys(
  settings: EncryptionSettings & AwsCredentialSettings,
  findings: Findings,
): ServiceKeys<AwsKmsKey> {
  const { WALG_CSE_KMS_ID: keyId, WALG_CSE_KMS_REGION: region } = settings
  const oldIds = listOf(settings.WALG_CSE_KMS_OLD_IDS)
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = settings
  const { AWS_SESSION_TOKEN: sessionToken } = settings
  const token = sessionToken === undefined ? {} : { sessionToken }
  const credentials =
    accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey, ...token } }
  const keyOf = (id: string): AwsKmsKey => ({ method: 'awskms', keyId: id, region, ...credentials })
  if (keyId === undefined && oldIds.length === 0 && region !== undefined) {
    missing(findings, 'WALG_CSE_KMS_REGION', 'WALG_CSE_KMS_ID')
  }
  return { write: keyId === undefined ? undefined : keyOf(keyId), old: oldIds.map(keyOf) }
}

/** The keys of Yandex KMS, if any. */
export function readYandexKmsKeys(
  settings: EncryptionSettings,
  findings: Findings,
): ServiceKeys<YandexKmsKey> {
  const { YC_CSE_KMS_KEY_ID: keyId, YC_SERVICE_ACCOUNT_KEY_FILE: path, WALG_YC_ENDPOINT: endpoint } = settings
  const oldIds = listOf(settings.YC_CSE_KMS_OLD_KEY_IDS)
  if (keyId === undefined && oldIds.length === 0) return { write: undefined, old: [] }
  const access = {
    ...readServiceAccount(path, 'YC_SERVICE_ACCOUNT_KEY_FILE', findings),
    ...(endpoint === undefined ? {} : { endpoint }),
  }
  const keyOf = (id: string): YandexKmsKey => ({ method: 'yckms', keyId: id, ...access })
  return { write: keyId === undefined ? undefined : keyOf(keyId), old: oldIds.map(keyOf) }
}

function listOf(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map(id => id.trim())
    .filter(id => id !== '')
}

/** The wrapped OpenPGP key, if any. */
export function readEnvelopeKey(settings: EncryptionSettings, findings: Findings): EnvelopeKey | undefined {
  const { WALG_ENVELOPE_PGP_KEY: inline, WALG_ENVELOPE_PGP_KEY_PATH: path } = settings
  const keyId = settings.WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID
  const setting = inline === undefined ? 'WALG_ENVELOPE_PGP_KEY_PATH' : 'WALG_ENVELOPE_PGP_KEY'
  if (inline !== undefined && path !== undefined) {
    findings.problems.push({
      code: 'SETTING_CONFLICT',
      names: ['WALG_ENVELOPE_PGP_KEY', 'WALG_ENVELOPE_PGP_KEY_PATH'],
      message: 'WALG_ENVELOPE_PGP_KEY and WALG_ENVELOPE_PGP_KEY_PATH are both set: which key is meant?',
      hint: 'remove one of them',
    })
    return undefined
  }
  const text = path === undefined ? inline : readKeyFile(path, setting, findings)
  if (text === undefined) {
    const isKeyNamed = path !== undefined
    if (keyId !== undefined && !isKeyNamed) {
      missing(findings, 'WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID', 'WALG_ENVELOPE_PGP_KEY_PATH')
    }
    return undefined
  }
  if (keyId === undefined) {
    missing(findings, setting, 'WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID')
    return undefined
  }
  const base64 = text.replace(/[\r\n]/g, '')
  if (base64 === '' || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(base64)) {
    findings.problems.push({
      code: 'SETTING_INVALID',
      names: [setting],
      message: `${setting} is not base64`,
      hint: 'it holds the armored OpenPGP key as Yandex KMS has encrypted it, in base64',
    })
    return undefined
  }
  const account = readServiceAccount(
    settings.WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE,
    'WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE',
    findings,
  )
  const endpoint = settings.WALG_ENVELOPE_PGP_YC_ENDPOINT
  return {
    method: 'envelope-openpgp',
    keyId,
    wrapped: new Uint8Array(Buffer.from(base64, 'base64')),
    keptMs: settings.WALG_ENVELOPE_CACHE_EXPIRATION,
    ...account,
    ...(endpoint === undefined ? {} : { endpoint }),
  }
}

function readServiceAccount(
  path: string | undefined,
  setting: string,
  findings: Findings,
): { readonly serviceAccount?: string } {
  const text = path === undefined ? undefined : readKeyFile(path, setting, findings)
  if (text === undefined) return {}
  if (isServiceAccount(text)) return { serviceAccount: text }
  findings.problems.push({
    code: 'SETTING_INVALID',
    names: [setting],
    message: `${setting}: "${path}" is not the key of a service account`,
    hint: 'make one with: yc iam key create --service-account-name <name> --output <file>',
  })
  return {}
}

function isServiceAccount(text: string): boolean {
  try {
    const account = JSON.parse(text) as Record<string, unknown>
    return ['id', 'service_account_id', 'private_key'].every(name => typeof account[name] === 'string')
  } catch {
    // its text must not stand in an error
    return false
  }
}

function missing(findings: Findings, given: string, wanted: string): void {
  findings.problems.push({
    code: 'SETTING_MISSING',
    names: [wanted],
    message: `${given} is set, but ${wanted} is not`,
    hint: 'data must not be stored in the clear because a key got lost: set both, or remove both',
  })
}
