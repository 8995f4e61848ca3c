import fs from 'node:fs'
import path from 'node:path'
import { removeFileDurably, writeFileDurably } from '../../kit/atomic-file.ts'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import { recoverySettings, withSettings } from '../../postgres/recovery-settings.ts'
import type { RestoreOptions } from './options.ts'

const AUTO_CONF = 'postgresql.auto.conf'
const OWNER_ONLY = 0o600

/**
 * Tells a restored directory how far to recover: the settings at the end of postgresql.auto.conf, the file of settings
 * for restore_command, and recovery.signal. Doing it twice is doing it once.
 */
export async function writeRecoveryFiles(root: string, options: RestoreOptions): Promise<void> {
  const { keptSettings } = options
  if (keptSettings !== null) {
    await writeFileDurably(keptSettings.path, keptSettings.text, { mode: OWNER_ONLY })
  }
  const autoConf = path.join(root, AUTO_CONF)
  const text = withSettings(readIfThere(autoConf) ?? '', recoverySettings(options))
  await writeFileDurably(autoConf, text, { mode: OWNER_ONLY })
  await removeFileDurably(path.join(root, 'standby.signal'))
  await writeFileDurably(path.join(root, 'recovery.signal'), '', { mode: OWNER_ONLY })
}

/** Undefined for a file that is not there. */
export function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read', file)
  }
}
