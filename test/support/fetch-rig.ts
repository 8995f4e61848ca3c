import fs from 'node:fs'
import path from 'node:path'
import { WalgError } from '../../src/kit/errors.ts'
import { backupFetch } from '../../src/operations/backup-fetch/backup-fetch.ts'
import type { BackupFetchOptions } from '../../src/operations/backup-fetch/options.ts'
import { selectionOf } from '../../src/repository/selector.ts'
import { LATE_PARTS, type MadeBackup, makeBackup } from './made-backup.ts'
import { operationContext, type TestContext } from './operation-context.ts'
import { type TempDirectory, tempDirectory } from './temp-directory.ts'

export const FULL = 'base_000000010000000000000002'
export const DELTA = 'base_000000010000000000000004_D_000000010000000000000002'

/** A full backup in two parts and the late ones. */
export const fullBackup: MadeBackup = {
  name: FULL,
  parts: {
    'part_001.tar': [
      { name: '/', kind: 'directory' },
      { name: '/PG_VERSION', content: '15\n' },
      { name: '/global', kind: 'directory' },
      { name: '/base', kind: 'directory' },
      { name: '/base/5', kind: 'directory' },
      { name: '/pg_wal', kind: 'directory' },
      { name: '/base/5/1', content: 'one'.repeat(5000) },
    ],
    'part_003.tar': [{ name: '/base/5/2', content: 'two'.repeat(90_000) }],
    ...LATE_PARTS,
  },
}

/** A delta on `FULL`, with its late parts. */
export function deltaOf(files: NonNullable<MadeBackup['files']>, parts: MadeBackup['parts']): MadeBackup {
  return {
    name: DELTA,
    parts: { ...parts, ...LATE_PARTS },
    files,
    sentinel: { LSN: 67108904, DeltaLSN: 33554472, DeltaFrom: FULL, DeltaFullName: FULL, DeltaCount: 1 },
  }
}

/** An increment whose pages are filled with one letter each. */
export function increment(fileSizeBytes: number, pages: readonly (readonly [number, string])[]): Uint8Array {
  const bytes = new Uint8Array(16 + pages.length * 8196)
  const view = new DataView(bytes.buffer)
  bytes.set([0x77, 0x69, 0x31, 0x55])
  view.setBigUint64(4, BigInt(fileSizeBytes), true)
  view.setUint32(12, pages.length, true)
  for (const [index, [block, fill]] of pages.entries()) {
    const at = 16 + pages.length * 4 + index * 8192
    view.setUint32(16 + index * 4, block, true)
    bytes.fill(fill.charCodeAt(0), at, at + 8192)
  }
  return bytes
}

/** A repository with made backups, and a place to restore them to. */
export class FetchRig {
  readonly folder: TempDirectory
  readonly context: TestContext
  readonly target: string

  private constructor(folder: TempDirectory, context: TestContext) {
    this.folder = folder
    this.context = context
    this.target = folder.at('target')
  }

  static async open(): Promise<FetchRig> {
    const folder = tempDirectory('fetch')
    fs.mkdirSync(folder.at('repository'))
    return new FetchRig(folder, await operationContext(folder.at('repository')))
  }

  async close(): Promise<void> {
    await this.context.storage.close()
    this.folder.remove()
  }

  make(backup: MadeBackup): void {
    makeBackup(this.folder.at('repository'), backup)
  }

  /** Path of a stored part. */
  stored(part: string, backup: string = FULL): string {
    return this.folder.at('repository', 'basebackups_005', backup, 'tar_partitions', part)
  }

  fetch(more: Partial<BackupFetchOptions> = {}, backup: string = FULL): Promise<unknown> {
    return backupFetch(this.context, {
      destination: this.target,
      selection: selectionOf(backup),
      mask: '',
      restoreOnly: [],
      restoreSpec: null,
      isResume: false,
      concurrencyMax: 2,
      retriesMax: 0,
      isDurable: false,
      checksums: 'none',
      pageBytes: 8192,
      ignoresContentManifest: false,
      ...more,
    })
  }

  /** The coded error of a failed fetch; the target must then not look complete. */
  async failure(fetched: Promise<unknown>): Promise<WalgError> {
    const error = await fetched.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (!(error instanceof WalgError)) throw error ?? new Error('the fetch succeeded')
    if (fs.existsSync(this.restored('global/pg_control')))
      throw new Error('pg_control is in place', { cause: error })
    return error
  }

  /** Path of a restored file. */
  restored(name: string): string {
    return path.join(this.target, name)
  }

  read(name: string): string {
    return fs.readFileSync(this.restored(name), 'utf8')
  }
}
