import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SettingProblem, SettingTexts } from '../../../kit/settings.ts'
import { readTable } from '../../../kit/settings.ts'
import type { DriverReading } from '../../driver-reading.ts'
import type { S3Address, S3Credentials, S3Description, S3Encryption, S3Endpoint } from './description.ts'
import { parseHeaders } from './request-headers.ts'
import { type S3Settings, s3Settings } from './settings.ts'

const SSE_C_KEY_BYTES = 32

interface Findings {
  readonly problems: SettingProblem[]
  readonly warnings: string[]
}

/** Reads the settings of WALG_S3_PREFIX. What is half set is an error: the original ignores some of it. */
export async function readS3(texts: SettingTexts): Promise<DriverReading<S3Description>> {
  const { values, problems } = readTable(s3Settings, texts)
  const findings: Findings = { problems: [...problems], warnings: [] }
  const place = values.WALG_S3_PREFIX
  const endpoint = readEndpoint(values, texts, findings)
  const credentials = readCredentials(values, texts, findings)
  const encryption = readEncryption(values, endpoint, findings)
  const headers = readHeaders(values, findings)
  if (place === undefined || findings.problems.length > 0) return findings
  const period = values.S3_RETENTION_PERIOD
  const description: S3Description = {
    kind: 's3',
    ...place,
    endpoint,
    credentials,
    storageClass: values.S3_STORAGE_CLASS,
    ...(encryption === undefined ? {} : { encryption }),
    ...(period < 0 ? {} : { retention: { mode: values.S3_RETENTION_MODE, periodS: period } }),
    partSizeBytes: values.S3_MAX_PART_SIZE,
    uploadsMax: values.UPLOAD_CONCURRENCY ?? uploadConcurrency(texts),
    usesListV1: values.S3_USE_LIST_OBJECTS_V1,
    deleteBatchMax: values.S3_DELETE_BATCH_SIZE,
    versioning: values.S3_ENABLE_VERSIONING ?? 'ask',
    conditionalPut: values.S3_CONDITIONAL_PUT,
    signsPayload: values.S3_SIGN_PAYLOAD ?? endpoint.address?.protocol === 'http',
    skipsValidation: values.S3_SKIP_VALIDATION,
    retries: {
      retriesMax: values.S3_MAX_RETRIES,
      throttledDelayMsMin: values.S3_MIN_THROTTLING_RETRY_DELAY,
      throttledDelayMsMax: values.S3_MAX_THROTTLING_RETRY_DELAY,
      rangeRetriesMax: values.S3_RANGE_BATCH_ENABLED ? values.S3_RANGE_MAX_RETRIES : 0,
    },
    headers,
    isTraced: values.S3_LOG_LEVEL?.toUpperCase() === 'DEVEL',
  }
  return { ...findings, description }
}

/** WALG_UPLOAD_CONCURRENCY belongs to another table, which reports it when it is wrong. */
function uploadConcurrency(texts: SettingTexts): number {
  const given = Number(texts.find(['WALG_UPLOAD_CONCURRENCY', 'WALE_UPLOAD_CONCURRENCY'])?.text ?? 16)
  return Number.isInteger(given) && given > 0 ? given : 16
}

function readEndpoint(values: S3Settings, texts: SettingTexts, findings: Findings): S3Endpoint {
  const address = values.AWS_ENDPOINT === undefined ? undefined : addressOf(values.AWS_ENDPOINT)
  const isAws = address === undefined || /\.amazonaws\.com(\.cn)?$/.test(address.host)
  const region = values.AWS_REGION ?? (isAws ? undefined : 'us-east-1')
  const source = values.S3_ENDPOINT_SOURCE
  const ca = readCa(values, texts, findings)
  return {
    ...(address === undefined ? {} : { address }),
    ...(region === undefined ? {} : { region }),
    isPathStyle: values.AWS_S3_FORCE_PATH_STYLE,
    isDualStack: values.AWS_DUAL_STACK,
    ...(source === undefined
      ? {}
      : {
          source: {
            url: source,
            port: values.S3_ENDPOINT_PORT,
            ...(values.S3_ENDPOINT_PROTOCOL === undefined ? {} : { protocol: values.S3_ENDPOINT_PROTOCOL }),
          },
        }),
    ...(ca === undefined ? {} : { ca }),
  }
}

function addressOf(url: string): S3Address {
  const { protocol, hostname, port } = new URL(url)
  const isPlain = protocol === 'http:'
  return {
    protocol: isPlain ? 'http' : 'https',
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (isPlain ? 80 : 443) : Number(port),
  }
}

function readCa(values: S3Settings, texts: SettingTexts, findings: Findings): string | undefined {
  const bundle = texts.find(['AWS_CA_BUNDLE'])
  const file = values.S3_CA_CERT_FILE ?? bundle?.text
  const name = values.S3_CA_CERT_FILE === undefined ? 'AWS_CA_BUNDLE' : 'S3_CA_CERT_FILE'
  if (file === undefined) return undefined
  try {
    const pem = readFileSync(file, 'utf8')
    new X509Certificate(pem)
    return pem
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    findings.problems.push({
      code: 'SETTING_INVALID',
      names: [name],
      message: `${name}: "${file}" cannot be used as a file with certificates: ${reason}`,
    })
    return undefined
  }
}

function readCredentials(values: S3Settings, texts: SettingTexts, findings: Findings): S3Credentials {
  if (values.S3_USE_YC_SESSION_TOKEN) return { kind: 'yandex' }
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = values
  if ((id === undefined) !== (secret === undefined)) {
    const [set, missing] = id === undefined ? [SECRET_KEY, ACCESS_KEY] : [ACCESS_KEY, SECRET_KEY]
    findings.problems.push({
      code: 'SETTING_MISSING',
      names: [missing],
      message: `${set} is set, but ${missing} is not`,
      hint: 'set both, or neither to use a profile, a role or the metadata of the machine',
    })
  }
  const base =
    id === undefined || secret === undefined
      ? ({ kind: 'chain' } as const)
      : ({
          kind: 'static',
          accessKeyId: id,
          secretAccessKey: secret,
          ...(token === undefined ? {} : { sessionToken: token }),
        } as const)
  const roleArn = values.AWS_ROLE_ARN
  const hasWebIdentity = texts.find(['AWS_WEB_IDENTITY_TOKEN_FILE']) !== undefined
  if (roleArn === undefined || hasWebIdentity) return base
  return { kind: 'role', roleArn, sessionName: values.AWS_ROLE_SESSION_NAME ?? 'wal-g', base }
}

const ACCESS_KEY = 'AWS_ACCESS_KEY_ID'
const SECRET_KEY = 'AWS_SECRET_ACCESS_KEY'

function readEncryption(
  { S3_SSE: algorithm, S3_SSE_C: customerKey, S3_SSE_KMS_ID: keyId }: S3Settings,
  endpoint: S3Endpoint,
  findings: Findings,
): S3Encryption | undefined {
  const conflict = (names: readonly string[], message: string): undefined => {
    const hint = 'data must not be stored in another way than you meant: complete the settings or remove them'
    findings.problems.push({ code: 'SETTING_CONFLICT', names, message, hint })
  }
  const isKms = algorithm?.startsWith('aws:kms') === true
  if (isKms && keyId === undefined) {
    return conflict(['S3_SSE_KMS_ID'], `S3_SSE is "${algorithm}", but S3_SSE_KMS_ID is not set`)
  }
  if (!isKms && keyId !== undefined) {
    return conflict(['S3_SSE'], 'S3_SSE_KMS_ID is set, but S3_SSE is not "aws:kms"')
  }
  if (customerKey !== undefined && (algorithm === undefined || isKms)) {
    return conflict(['S3_SSE'], 'S3_SSE_C is set, but S3_SSE is not "AES256"')
  }
  if (algorithm === undefined) return undefined
  if (keyId !== undefined) return { kind: 'SSE-KMS', algorithm, keyId }
  if (customerKey === undefined) return { kind: 'SSE-S3', algorithm }
  if (endpoint.address?.protocol === 'http') {
    return conflict(['S3_SSE_C'], 'S3_SSE_C cannot be used over http: every request carries the key')
  }
  const key = customerKeyBytes(customerKey)
  if (key === undefined) {
    return conflict(['S3_SSE_C'], 'S3_SSE_C is set, but it is neither 32 characters nor 32 bytes in base64')
  }
  const keyMd5 = createHash('md5').update(key).digest('base64')
  return { kind: 'SSE-C', algorithm, key: key.toString('base64'), keyMd5 }
}

/** As the original takes it, the text itself; or base64, which could not be 32 characters. */
function customerKeyBytes(text: string): Buffer | undefined {
  const raw = Buffer.from(text, 'utf8')
  if (raw.length === SSE_C_KEY_BYTES) return raw
  const decoded = Buffer.from(text, 'base64')
  return decoded.length === SSE_C_KEY_BYTES && decoded.toString('base64') === text ? decoded : undefined
}

function readHeaders(values: S3Settings, findings: Findings): Readonly<Record<string, string>> {
  const given = values.S3_REQUEST_ADDITIONAL_HEADERS
  const headers = given === undefined ? {} : parseHeaders(given)
  if (headers !== undefined) return headers
  findings.problems.push({
    code: 'SETTING_INVALID',
    names: ['S3_REQUEST_ADDITIONAL_HEADERS'],
    message: 'S3_REQUEST_ADDITIONAL_HEADERS is no map of header names to texts',
    hint: 'e.g. {"X-Project":"backups"}',
  })
  return {}
}
