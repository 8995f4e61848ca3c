import path from 'node:path'
import type { GivenSetting } from '../../kit/settings.ts'
import type { CreatedTablespaces } from '../../operations/wal-fetch/created-tablespaces.ts'
import { quoteForCommand } from '../../postgres/recovery-settings.ts'
import { postgresSettings } from '../../postgres/settings.ts'
import type { Invocation } from '../command.ts'
import { ownSettings } from '../own-settings.ts'

export interface FetchCommand {
  /** A restore_command: absolute paths, `%f` and `%p` in place. */
  readonly command: string
  /** What must be written for it to work; null when the config file that was named says everything. */
  readonly kept: { readonly path: string; readonly text: string } | null
}

/** wal-fetch asks no server, and the way to the old one means nothing to the new one. */
const NOT_KEPT = new Set(['WALG_CONFIG_PATH', ...connectionNames(), ...Object.keys(ownSettings)])
const FILE_NAMES = /(_PATHS?|_FILE|^WALG_FILE_PREFIX|_DIR|_CREDENTIALS)$/

/**
 * The restore_command with which a server gets WAL by the settings of this call. PostgreSQL is started by a service
 * manager, without the exports of a shell: what came from there, or from a flag, is kept in the file `keptPath`. `createdTablespaces`:
 * of WAL that creates tablespaces.
 */
export function planFetchCommand(
  invocation: Invocation,
  keptPath: string,
  createdTablespaces: CreatedTablespaces,
): FetchCommand {
  const { configuration, program } = invocation
  const given = [...configuration.given()].filter(([name]) => !NOT_KEPT.has(name))
  const file = configuration.file === undefined ? undefined : path.resolve(configuration.file)
  const isOfFile = given.every(([, setting]) => isSaidByFile(setting, configuration.file))
  const config = file !== undefined && isOfFile ? file : keptPath
  const words = [program.executable, ...program.args.map(each => path.resolve(each)), '--config', config]
  const tablespaces = `--created-tablespaces=${createdTablespaces}`
  const command = [...words.map(quoteForCommand), 'wal-fetch', '%f', '%p', tablespaces].join(' ')
  if (config === file) return { command, kept: null }
  const settings = Object.fromEntries(given.map(([, { name, text }]) => [name, withAbsolutePath(name, text)]))
  return { command, kept: { path: keptPath, text: `${JSON.stringify(settings, null, 2)}\n` } }
}

/** A relative path of the file counts from the working directory, which will be another one. */
function isSaidByFile({ name, text, source }: GivenSetting, file: string | undefined): boolean {
  return source === file && withAbsolutePath(name, text) === text
}

function withAbsolutePath(name: string, text: string): string {
  if (!FILE_NAMES.test(name) || path.isAbsolute(text) || text === '' || text.includes('://')) return text
  const isList = name.endsWith('_PATHS')
  return isList
    ? text
        .split(',')
        .map(each => path.resolve(each.trim()))
        .join(',')
    : path.resolve(text)
}

function connectionNames(): string[] {
  return Object.keys(postgresSettings).filter(name => name.startsWith('PG'))
}
