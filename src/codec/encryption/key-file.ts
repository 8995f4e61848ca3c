import { readFileSync, statSync } from 'node:fs'
import { errnoOf } from '../../kit/errors.ts'
import type { SettingProblem } from '../../kit/settings.ts'

/** What the settings of encryption come to: everything that is wrong is reported at once. */
export interface Findings {
  readonly problems: SettingProblem[]
  readonly warnings: string[]
}

const KEY_FILE_BYTES_MAX = 1 << 20
const READABLE_BY_OTHERS = 0o077

/** The text of a key file, or a problem that names the setting. A file that others may read is a warning. */
export function readKeyFile(path: string, setting: string, findings: Findings): string | undefined {
  const fail = (reason: string, hint: string): undefined => {
    findings.problems.push({
      code: 'SETTING_INVALID',
      names: [setting],
      message: `${setting}: the key file "${path}" ${reason}`,
      hint,
    })
  }
  let text: string
  try {
    const { mode, size } = statSync(path)
    if (size > KEY_FILE_BYTES_MAX) return fail('is too big for a key', 'name the file that holds the key')
    text = readFileSync(path, 'utf8')
    if ((mode & READABLE_BY_OTHERS) !== 0) {
      const shown = (mode & 0o777).toString(8).padStart(4, '0')
      findings.warnings.push(
        `${setting}: others may read the key file "${path}" (mode ${shown}); chmod 600 it`,
      )
    }
  } catch (error) {
    const reasons: Record<string, string> = { ENOENT: 'is not there', EACCES: 'may not be read by this user' }
    const reason = reasons[errnoOf(error) ?? ''] ?? `cannot be read (${errnoOf(error) ?? 'unknown reason'})`
    return fail(reason, 'correct the path, or let the user that runs wal-g read it')
  }
  if (text.trim() === '') return fail('is empty', 'put the key into it')
  return text
}

/** The files of a comma list. */
export function pathsOf(list: string | undefined): string[] {
  return (list ?? '')
    .split(',')
    .map(path => path.trim())
    .filter(path => path !== '')
}
