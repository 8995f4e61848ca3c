import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { collect } from '../../src/kit/bytes.ts'
import { type WalPushOptions, type WalPushResult, walPush } from '../../src/operations/wal-push/wal-push.ts'
import { openPayload } from '../../src/repository/sealed.ts'
import { operationContext, type TestContext } from './operation-context.ts'
import { type TempDirectory, tempDirectory } from './temp-directory.ts'
import { MIB, walBytes } from './wal-bytes.ts'

/** A `pg_wal` with its archive_status, and a file storage to push into. */
export class PushRig {
  readonly place: TempDirectory
  readonly wal: string
  readonly root: string
  readonly context: TestContext

  private constructor(place: TempDirectory, context: TestContext) {
    this.place = place
    this.wal = place.at('pg_wal')
    this.root = place.at('archive')
    this.context = context
  }

  static async open(): Promise<PushRig> {
    const place = tempDirectory('wal-push')
    mkdirSync(place.at('pg_wal', 'archive_status'), { recursive: true })
    mkdirSync(place.at('archive'))
    return new PushRig(place, await operationContext(place.at('archive')))
  }

  async close(): Promise<void> {
    await this.context.storage.close()
    this.place.remove()
  }

  at(name: string): string {
    return join(this.wal, name)
  }

  write(name: string, content: Uint8Array | string): string {
    writeFileSync(this.at(name), content)
    return this.at(name)
  }

  writeSegment(
    name: string,
    options: { salt?: number; ready?: boolean; systemIdentifier?: bigint } = {},
  ): string {
    if (options.ready === true) this.markReady(name)
    return this.write(name, walBytes(name, options))
  }

  markReady(name: string): void {
    writeFileSync(this.at(`archive_status/${name}.ready`), '')
  }

  push(
    path: string,
    options: Partial<WalPushOptions> = {},
    given: TestContext = this.context,
  ): Promise<WalPushResult> {
    return walPush(given, {
      path,
      dataDirectory: undefined,
      preventOverwrite: true,
      requireSystemIdentifier: false,
      metadata: 'NOMETADATA',
      filesMax: 32,
      uploadConcurrency: 16,
      readyRename: false,
      recordsChanges: false,
      ...options,
    })
  }

  async archived(name: string, given: TestContext = this.context): Promise<Uint8Array> {
    const { storage, codec } = given
    return collect(await openPayload(storage, codec, `wal_005/${name}`), 64 * MIB)
  }

  /** Names below `wal_005/`. */
  objects(): string[] {
    const folder = join(this.root, 'wal_005')
    return existsSync(folder) ? readdirSync(folder).sort() : []
  }
}
