import { readFile } from 'node:fs/promises'
import type { SettingProblem } from '../kit/settings.ts'

/** What the reader of a storage (`drivers/<kind>/read-settings.ts`) makes of its settings. */
export interface DriverReading<Description> {
  /** Undefined when there are problems. */
  readonly description?: Description
  /** Everything that is wrong; no work may begin. */
  readonly problems: readonly SettingProblem[]
  /** Sentences for the log. */
  readonly warnings: readonly string[]
}

/** The text of the file that the setting `name` names; undefined, and a problem more, when it cannot be read. */
export async function readNamedFile(
  path: string,
  name: string,
  problems: SettingProblem[],
): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    problems.push({
      code: 'SETTING_INVALID',
      names: [name],
      message: `unable to read the file of ${name}: ${reason}`,
    })
    return undefined
  }
}
