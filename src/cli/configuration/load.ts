import { hasCode, WalgError } from '../../kit/errors.ts'
import type { SettingProblem } from '../../kit/settings.ts'
import { type ConfigFile, findDefaultConfig, readConfigFile } from './config-file.ts'
import { passwdHome } from './passwd-home.ts'
import { readSettings, type SettingsReading } from './read-settings.ts'

export interface ConfigurationRequest {
  /** `--config`. */
  readonly configFlag: string | undefined
  readonly settingFlags: ReadonlyMap<string, string>
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly uid: number | undefined
}

export interface Configuration extends SettingsReading {
  /** The config file that was read, as it was named. */
  readonly file: string | undefined
  readonly warnings: readonly string[]
}

/**
 * Finds and reads the config file and all settings. A config file that was named but is missing or broken is
 * a problem beside the others; the original only warned and went on with other settings than were asked for.
 */
export async function loadConfiguration(request: ConfigurationRequest): Promise<Configuration> {
  const problems: SettingProblem[] = []
  const warnings: string[] = []
  const path = configPath(request, problems, warnings)
  let file: ConfigFile | undefined
  if (path !== undefined) {
    try {
      file = await readConfigFile(path)
    } catch (error) {
      problems.push(fileProblem(error))
    }
  }
  const reading = readSettings({ flags: request.settingFlags, environment: request.environment, file })
  return { ...reading, problems: [...problems, ...reading.problems], file: file?.path, warnings }
}

function configPath(
  request: ConfigurationRequest,
  problems: SettingProblem[],
  warnings: string[],
): string | undefined {
  if (request.configFlag !== undefined && request.configFlag !== '') return request.configFlag
  const path = request.environment['WALG_CONFIG_PATH'] || undefined
  const samePath = request.environment['WALG_CONFIG'] || undefined
  if (path !== undefined && samePath !== undefined && path !== samePath) {
    problems.push({
      code: 'SETTING_CONFLICT',
      names: ['WALG_CONFIG_PATH', 'WALG_CONFIG'],
      message: `WALG_CONFIG_PATH is "${path}" and WALG_CONFIG is "${samePath}": they mean the same and must not differ`,
    })
  }
  if (path !== undefined || samePath !== undefined) return (path ?? samePath)?.replace(/[\r\n]+$/, '')
  const home = passwdHome(request.uid, request.environment['HOME'])
  if (home === undefined) return undefined
  const { path: found, hidden } = findDefaultConfig(home)
  // not an error: in containers the home of an arbitrary user is often somebody else's
  if (hidden !== undefined) warnings.push(`${hidden}: if there is one, what it says does not count`)
  return found
}

function fileProblem(error: unknown): SettingProblem {
  if (!(error instanceof Error)) throw error
  const cause = error.cause instanceof Error && !error.message.includes(error.cause.message)
  const reason = cause && hasCode(error, 'FORMAT_INVALID') ? `: ${(error.cause as Error).message}` : ''
  return {
    code: 'SETTING_INVALID',
    names: ['WALG_CONFIG_PATH'],
    message: `${error.message}${reason}`,
    hint: (error instanceof WalgError ? error.hint : undefined) ?? 'correct the file, or do not name it',
  }
}
