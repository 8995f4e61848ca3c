import { readTable, type SettingProblem, type SettingTexts } from '../../../kit/settings.ts'
import type { DriverReading } from '../../driver-reading.ts'
import type { OssCredentials, OssDescription } from './description.ts'
import { type OssSettings, ossSettings } from './settings.ts'

/** Reads WALG_OSS_PREFIX and the OSS_… options. */
export async function readOss(texts: SettingTexts): Promise<DriverReading<OssDescription>> {
  const { values, problems: unread } = readTable(ossSettings, texts)
  const place = values.WALG_OSS_PREFIX
  if (place === undefined) return { problems: unread, warnings: [] }
  const problems: SettingProblem[] = [...unread]
  const region = (values.OSS_REGION ?? regionOf(values.OSS_ENDPOINT))
    ?.replace(/^oss-/, '')
    .replace(/-internal$/, '')
  if (region === undefined) {
    problems.push(
      missing(
        'OSS_REGION',
        'it to the region of the bucket, such as cn-hangzhou, or OSS_ENDPOINT to its address',
      ),
    )
  }
  const endpoint = addressOf(values.OSS_ENDPOINT ?? `oss-${region}.aliyuncs.com`)
  if (endpoint === undefined) problems.push(invalid('OSS_ENDPOINT'))
  const credentials = readCredentials(values, region, problems)
  if (problems.length > 0 || region === undefined || endpoint === undefined || credentials === undefined) {
    return { problems, warnings: [] }
  }
  const description: OssDescription = {
    kind: 'oss',
    bucket: place.bucket,
    root: place.root,
    region,
    endpoint,
    credentials,
    isChecked: !values.OSS_SKIP_VALIDATION,
    attemptsMax: values.OSS_MAX_RETRIES + 1,
    connectTimeoutMs: values.OSS_CONNECT_TIMEOUT * 1000,
    partSizeBytes: values.OSS_UPLOAD_PART_SIZE,
    copyPartSizeBytes: values.OSS_COPY_PART_SIZE,
  }
  return { description, problems, warnings: [] }
}

function readCredentials(
  values: OssSettings,
  region: string | undefined,
  problems: SettingProblem[],
): OssCredentials | undefined {
  const { OSS_ACCESS_KEY_ID: accessKeyId, OSS_ACCESS_KEY_SECRET: accessKeySecret } = values
  if (accessKeyId === undefined) problems.push(missing('OSS_ACCESS_KEY_ID', 'it to the access key'))
  if (accessKeySecret === undefined)
    problems.push(missing('OSS_ACCESS_KEY_SECRET', 'it to the secret of the access key'))
  const sts = addressOf(values.OSS_STS_ENDPOINT ?? `sts.${region}.aliyuncs.com`)
  if (sts === undefined) problems.push(invalid('OSS_STS_ENDPOINT'))
  if (accessKeyId === undefined || accessKeySecret === undefined || sts === undefined) return undefined
  const { OSS_SESSION_TOKEN: sessionToken, OSS_ROLE_ARN: arn, OSS_ROLE_SESSION_NAME: sessionName } = values
  return {
    accessKeyId: accessKeyId.trim(),
    accessKeySecret: accessKeySecret.trim(),
    ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.trim() }),
    ...(arn === undefined ? {} : { role: { arn, sessionName, endpoint: sts } }),
  }
}

/** `https://host` of an address with or without scheme. */
function addressOf(given: string): string | undefined {
  const url = /^https?:\/\//i.test(given) ? given : `https://${given}`
  return URL.canParse(url) ? new URL(url).origin : undefined
}

/** `oss-cn-hangzhou-internal.aliyuncs.com` names its region. */
function regionOf(endpoint: string | undefined): string | undefined {
  return /(?:^|\/\/|\.)oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com/i
    .exec(endpoint ?? '')?.[1]
    ?.toLowerCase()
}

function missing(name: string, what: string): SettingProblem {
  return {
    code: 'SETTING_MISSING',
    names: [name],
    message: `WALG_OSS_PREFIX needs ${name}`,
    hint: `set ${what}`,
  }
}

function invalid(name: string): SettingProblem {
  return {
    code: 'SETTING_INVALID',
    names: [name],
    message: `${name} is not usable, expected a host or a URL`,
  }
}
