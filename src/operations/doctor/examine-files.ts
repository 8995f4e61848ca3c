import fs from 'node:fs'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import { formatByteSize } from '../../kit/sizes.ts'
import type { Examination } from './examination.ts'

/** Files with secrets in them, by the setting that names them. */
export interface SecretFile {
  readonly setting: string
  readonly path: string
  /** Only its owner should be able to read it. */
  readonly isSecret: boolean
}

const GROUP_AND_OTHERS = 0o077
const WRITABLE_BY_OTHERS = 0o002
const FREE_WARNING = 0.1
const FREE_FAILURE = 0.03

/** Who can read keys and passwords, and who could change the settings. */
export function examineFiles(examination: Examination, files: readonly SecretFile[]): void {
  for (const { setting, path, isSecret } of files) {
    let mode: number
    try {
      mode = fs.statSync(path).mode & 0o777
      fs.accessSync(path, fs.constants.R_OK)
    } catch (error) {
      const { message } = fromSystemError(error, 'read', path)
      examination.note('settings', 'failure', `${setting}: ${message}`)
      continue
    }
    const shown = mode.toString(8).padStart(4, '0')
    if (isSecret && (mode & GROUP_AND_OTHERS) !== 0) {
      examination.note(
        'settings',
        'warning',
        `"${path}" (${setting}) is open to others: ${shown}`,
        `chmod 600 ${path}`,
      )
    } else if ((mode & WRITABLE_BY_OTHERS) !== 0) {
      examination.note(
        'settings',
        'failure',
        `everybody can change "${path}" (${setting}): ${shown}`,
        `chmod o-w ${path}`,
      )
    }
  }
}

/** How much room there is left where a directory lies; nothing is said of one that cannot be looked at. */
export function examineRoom(examination: Examination, what: string, directory: string): void {
  let stats: fs.StatsFs
  try {
    stats = fs.statfsSync(directory)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return
  }
  if (stats.blocks === 0) return
  const free = stats.bavail / stats.blocks
  const verdict = free < FREE_FAILURE ? 'failure' : free < FREE_WARNING ? 'warning' : 'ok'
  const left = `${formatByteSize(stats.bavail * stats.bsize)} (${Math.floor(free * 100)} %) left`
  const fix = verdict === 'ok' ? undefined : 'make room: a full disk stops archiving, and then the server'
  examination.note('disk', verdict, `${what} "${directory}": ${left}`, fix)
}
