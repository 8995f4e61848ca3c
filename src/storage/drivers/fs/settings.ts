import type { SettingsTableOf } from '../../../kit/settings.ts'
import { driverPrefix } from '../../driver-option.ts'

/** A repository in a directory. */
export interface FsSettings {
  readonly WALG_FILE_PREFIX: string | undefined
}

export const fsSettings: SettingsTableOf<FsSettings> = {
  WALG_FILE_PREFIX: driverPrefix(
    'FILE',
    fileRoot,
    'Directory of the repository on a file system, as a plain absolute path. It must exist. A leading `file://localhost` is removed.',
  ),
}

/** The directory named by WALG_FILE_PREFIX. */
function fileRoot(value: string): string {
  const path = value.startsWith('file://localhost') ? value.slice('file://localhost'.length) : value
  if (!path.startsWith('/')) throw new Error('an absolute path')
  return path.replace(/(?<=.)\/+$/, '')
}
