import { hasCode } from '../../kit/errors.ts'
import { nowNs } from '../../kit/timestamp.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import {
  putVerificationRecord,
  readVerificationRecord,
  type VerifiedRecord,
} from '../../repository/verification-record.ts'
import type { OperationContext } from '../context.ts'
import type { InspectedBackup } from './inspect-backup.ts'
import type { VerifiedObjects, WorkItem } from './plan-work.ts'

type MemoryContext = Pick<OperationContext, 'storage' | 'codec' | 'log' | 'signal'>

/** What a killed run loses at most. */
const SAVE_EVERY_NS = 60_000_000_000n

/** What was found good and when, by backup: read at the beginning, put back now and then and at the end. */
export class Memory {
  readonly #context: MemoryContext
  readonly #byBackup: ReadonlyMap<BackupName, Map<string, VerifiedRecord>>
  readonly #changed = new Set<BackupName>()
  #savedNs = nowNs()
  #isRefused = false

  private constructor(
    context: MemoryContext,
    byBackup: ReadonlyMap<BackupName, Map<string, VerifiedRecord>>,
  ) {
    this.#context = context
    this.#byBackup = byBackup
  }

  static async read(context: MemoryContext, backups: readonly InspectedBackup[]): Promise<Memory> {
    const byBackup = new Map<BackupName, Map<string, VerifiedRecord>>()
    for (const { backup } of backups) {
      const records = await readVerificationRecord({ ...context, backup: backup.name })
      byBackup.set(backup.name, new Map(records.map(record => [record.key, record])))
    }
    return new Memory(context, byBackup)
  }

  /** Of an object that several backups need the newest record counts. */
  get verified(): VerifiedObjects {
    const all = new Map<string, VerifiedRecord>()
    for (const records of this.#byBackup.values()) {
      for (const [key, record] of records) {
        const known = all.get(key)
        if (known === undefined || known.verifiedNs < record.verifiedNs) all.set(key, record)
      }
    }
    return all
  }

  note(item: WorkItem, isGood: boolean): void {
    const { key, sizeBytes, modifiedNs } = item
    for (const name of item.backups) {
      const records = this.#byBackup.get(name)
      if (records === undefined) continue
      if (isGood) records.set(key, { key, sizeBytes, modifiedNs, verifiedNs: nowNs() })
      else records.delete(key)
      this.#changed.add(name)
    }
  }

  async saveNowAndThen(): Promise<void> {
    if (nowNs() - this.#savedNs >= SAVE_EVERY_NS) await this.save()
  }

  /** A repository that may only be read is verified all the same: nothing is remembered then, and said once. */
  async save(): Promise<void> {
    this.#savedNs = nowNs()
    for (const name of [...this.#changed]) {
      this.#changed.delete(name)
      if (this.#isRefused) continue
      const records = this.#byBackup.get(name)!
      const { storage, codec, log } = this.#context
      try {
        // also after an interruption: what was verified is not verified again
        await putVerificationRecord({ storage, codec, backup: name }, records.values())
      } catch (error) {
        if (!hasCode(error, 'ACCESS_DENIED', 'WRITE_REFUSED')) throw error
        this.#isRefused = true
        log.warning(`what was verified is not remembered: ${error.message}`)
      }
    }
  }
}
