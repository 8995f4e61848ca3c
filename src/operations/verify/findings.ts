import { WalgError } from '../../kit/errors.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import type { Finding } from './options.ts'

/** Collects what is wrong; everything else goes on. */
export class Findings {
  readonly all: Finding[] = []

  error(backup: BackupName | null, object: string | null, message: string): void {
    this.all.push({ severity: 'error', backup, object, message })
  }

  warning(backup: BackupName | null, object: string | null, message: string): void {
    this.all.push({ severity: 'warning', backup, object, message })
  }

  isGood(backup: BackupName): boolean {
    return !this.all.some(each => each.severity === 'error' && each.backup === backup)
  }

  get hasErrors(): boolean {
    return this.all.some(({ severity }) => severity === 'error')
  }
}

const DAMAGE =
  /^(FORMAT_|CHECKSUM_MISMATCH|DECRYPT_FAILED|BACKUP_BROKEN|CHAIN_BROKEN|BACKUP_NOT_FOUND|OBJECT_NOT_FOUND|INTEGRITY|WAL_INVALID)/

/** True for what is wrong with the repository; trouble with reading it is no finding: the run could not be made. */
export function isFinding(error: unknown): error is WalgError {
  return error instanceof WalgError && DAMAGE.test(error.code)
}
