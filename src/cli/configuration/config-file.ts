import { lstatSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'

/** Extensions in the order in which the default file is looked for. */
const DEFAULT_EXTENSIONS = ['json', 'toml', 'yaml', 'yml', 'dotenv', 'env']

export interface ConfigFile {
  readonly path: string
  /** Texts by upper-case key, as in the environment; nested values as JSON. */
  readonly values: ReadonlyMap<string, string>
}

/** `~/.walg.<ext>`, the first that exists; or why nobody can tell whether there is one. */
export function findDefaultConfig(home: string): { readonly path?: string; readonly hidden?: string } {
  for (const extension of DEFAULT_EXTENSIONS) {
    const path = join(home, `.walg.${extension}`)
    try {
      lstatSync(path)
      return { path }
    } catch (error) {
      const errno = errnoOf(error)
      if (errno !== 'ENOENT' && errno !== 'ENOTDIR')
        return { hidden: fromSystemError(error, 'look for config file', path).message }
    }
  }
  return {}
}

/**
 * Reads a config file; the extension tells the format. Throws FILE_NOT_FOUND / FILE_ACCESS, FORMAT_UNSUPPORTED
 * for an unknown extension, FORMAT_INVALID when it cannot be parsed or has a key twice.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const format = FORMATS[extname(path).slice(1).toLowerCase()]
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw fromSystemError(error, 'read config file', path)
  }
  if (format === undefined) {
    throw new WalgError('FORMAT_UNSUPPORTED', `config file "${path}" has no known extension`, {
      hint: `name it with one of ${DEFAULT_EXTENSIONS.map(each => `.${each}`).join(', ')}`,
    })
  }
  let document: unknown
  try {
    document = await format(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    throw new WalgError('FORMAT_INVALID', `unable to parse config file "${path}"`, { cause: plain(error) })
  }
  return { path, values: textsOf(document, path) }
}

type Format = (text: string) => unknown

const FORMATS: Readonly<Record<string, Format>> = {
  json: parseJson,
  toml: async text => (await import('smol-toml')).parse(text, { integersAsBigInt: true }),
  yaml: parseYaml,
  yml: parseYaml,
  env: parseEnv,
  dotenv: parseEnv,
}

/** Numbers keep their digits: a big one must not pass through a double. */
function parseJson(text: string): unknown {
  const keepDigits = (_key: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' ? (context?.source ?? value) : value
  return JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown)
}

/** Every scalar stays the text that stands there. */
async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import('yaml')
  return parse(text, { schema: 'failsafe', logLevel: 'error' })
}

async function parseEnv(text: string): Promise<unknown> {
  const { parseDotenv } = await import('./dotenv.ts')
  return parseDotenv(text, process.env)
}

function textsOf(document: unknown, path: string): Map<string, string> {
  if (document === null || document === undefined || document === '') return new Map()
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new WalgError('FORMAT_INVALID', `config file "${path}" is not a table of settings`)
  }
  const values = new Map<string, string>()
  for (const [key, value] of Object.entries(document)) {
    const name = key.toUpperCase()
    if (values.has(name)) throw new WalgError('FORMAT_INVALID', `config file "${path}" has ${name} twice`)
    if (value !== null && value !== undefined) values.set(name, textOf(inLowerCase(value, path)))
  }
  return values
}

/** Keys of nested maps are read in lower case, as the original reads them: so the names of failover storages. */
function inLowerCase(value: unknown, path: string): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) return value.map(item => inLowerCase(item, path))
  const entries = new Map<string, unknown>()
  for (const [key, inner] of Object.entries(value)) {
    const name = key.toLowerCase()
    if (entries.has(name)) throw new WalgError('FORMAT_INVALID', `config file "${path}" has ${key} twice`)
    entries.set(name, inLowerCase(inner, path))
  }
  return Object.fromEntries(entries)
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Date) return value.toISOString()
  if (typeof value !== 'object') return String(value)
  return JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? String(inner) : inner))
}

/** Parsers quote what they stumble over, which may be a secret: only the first line is kept, without quotes. */
function plain(error: unknown): Error {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n', 1)
  return new Error(line.replace(/"[^"]*"?|'[^']*'?|`[^`]*`?/g, '…').replace(/:$/, ''))
}
