import type { EncryptionSettings } from '../settings.ts'
import type { AwsKmsKey, EnvelopeKey, YandexKmsKey } from './description.ts'
import { type Findings, readKeyFile } from './key-file.ts'

/** The storage's table has these; a config file may hold them, which the SDK does not read. */
interface AwsCredentialSettings {
  readonly AWS_ACCESS_KEY_ID?: string | undefined
  readonly AWS_SECRET_ACCESS_KEY?: string | undefined
  readonly AWS_SESSION_TOKEN?: string | undefined
}

/** The key of AWS KMS, if any. */
export function readAwsKmsKey(
  settings: EncryptionSettings & AwsCredentialSettings,
  findings: Findings,
): AwsKmsKey | undefined {
  const { WALG_CSE_KMS_ID: keyId, WALG_CSE_KMS_REGION: region } = settings
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = settings
  const { AWS_SESSION_TOKEN: sessionToken } = settings
  if (keyId !== undefined && accessKeyId !== undefined && secretAccessKey !== undefined) {
    const token = sessionToken === undefined ? {} : { sessionToken }
    return { method: 'awskms', keyId, region, credentials: { accessKeyId, secretAccessKey, ...token } }
  }
  if (keyId !== undefined) return { method: 'awskms', keyId, region }
  if (region !== undefined) missing(findings, 'WALG_CSE_KMS_REGION', 'WALG_CSE_KMS_ID')
  return undefined
}

/** The key of Yandex KMS, if any. */
export function readYandexKmsKey(settings: EncryptionSettings, findings: Findings): YandexKmsKey | undefined {
  const { YC_CSE_KMS_KEY_ID: keyId, YC_SERVICE_ACCOUNT_KEY_FILE: path, WALG_YC_ENDPOINT: endpoint } = settings
  if (keyId === undefined) return undefined
  const account = readServiceAccount(path, 'YC_SERVICE_ACCOUNT_KEY_FILE', findings)
  return { method: 'yckms', keyId, ...account, ...(endpoint === undefined ? {} : { endpoint }) }
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
