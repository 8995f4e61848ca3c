import { readFile } from 'node:fs/promises'
import { readTable, type SettingProblem, type SettingTexts } from '../../../kit/settings.ts'
import type { DriverReading } from '../../driver-reading.ts'
import type { GcsCredentials, GcsDescription } from './description.ts'
import { type GcsSettings, gcsSettings } from './settings.ts'

/** A chunk of 16 MiB in five minutes is a line that no WAL fits through. */
const TRY_TIMEOUT_MS = 300_000
const SERVICE_URL = 'https://storage.googleapis.com'

/** Reads WALG_GS_PREFIX and the GCS_… options, and sees whether the credentials file is one. */
export async function readGcs(texts: SettingTexts): Promise<DriverReading<GcsDescription>> {
  const { values, problems } = readTable(gcsSettings, texts)
  const place = values.WALG_GS_PREFIX
  const credentials = credentialsOf(values)
  const all = [...problems, ...(await problemsOf(credentials))]
  if (place === undefined || all.length > 0) return { problems: all, warnings: [] }
  const timeoutMs = values.GCS_CONTEXT_TIMEOUT * 1000
  return {
    description: {
      kind: 'gcs',
      bucket: place.bucket,
      root: place.root,
      endpoint: values.STORAGE_EMULATOR_HOST ?? SERVICE_URL,
      credentials,
      encryptionKey: values.GCS_ENCRYPTION_KEY,
      chunkSizeBytes: values.GCS_MAX_CHUNK_SIZE,
      attemptsMax: Math.max(values.GCS_MAX_RETRIES, 1),
      timeoutMs,
      tryTimeoutMs: Math.min(timeoutMs, TRY_TIMEOUT_MS),
    },
    problems: [],
    warnings: [],
  }
}

function credentialsOf(values: GcsSettings): GcsCredentials {
  if (values.STORAGE_EMULATOR_HOST !== undefined) return { kind: 'none' }
  const path = values.GOOGLE_APPLICATION_CREDENTIALS
  return path === undefined || path === '' ? { kind: 'default' } : { kind: 'file', path }
}

async function problemsOf(credentials: GcsCredentials): Promise<SettingProblem[]> {
  if (credentials.kind !== 'file') return []
  const reason = await troubleWith(credentials.path)
  if (reason === undefined) return []
  return [
    {
      code: 'SETTING_INVALID',
      names: ['GOOGLE_APPLICATION_CREDENTIALS'],
      message: `GOOGLE_APPLICATION_CREDENTIALS names "${credentials.path}", ${reason}`,
      hint: 'name a JSON file with a "type", such as the key of a service account',
    },
  ]
}

async function troubleWith(path: string): Promise<string | undefined> {
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    return `which cannot be read: ${error instanceof Error ? error.message : String(error)}`
  }
  try {
    const document: unknown = JSON.parse(content)
    const isTyped = typeof document === 'object' && document !== null && 'type' in document
    return isTyped ? undefined : 'which holds no credentials'
  } catch {
    return 'which is no JSON'
  }
}
