import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { streamOf } from '../../kit/bytes.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import { walMetadataKey } from '../../repository/layout.ts'
import {
  endsWalMetadataBulk,
  formatWalMetadata,
  mergeWalMetadata,
  type WalMetadataMode,
  walMetadataBulkFile,
} from '../../repository/wal-metadata.ts'
import type { OperationContext } from '../context.ts'

/** The original's place, so that either program completes what the other began. */
const COLLECTED_FOLDER = 'walg_data/walg_archive_status'

export interface WalMetadataOptions {
  readonly mode: WalMetadataMode
  /** Where pieces are collected for BULK; without one BULK falls back to one object per file. */
  readonly walDirectory: string | undefined
}

/** Stores when a WAL file was written: one small object per file, or one per sixteen segments. */
export async function pushWalMetadata(
  context: OperationContext,
  file: { readonly name: string; readonly modifiedNs: bigint },
  options: WalMetadataOptions,
): Promise<void> {
  if (options.mode === 'NOMETADATA') return
  const text = formatWalMetadata(file.name, file.modifiedNs)
  if (options.mode === 'INDIVIDUAL' || options.walDirectory === undefined) {
    await putText(context, walMetadataKey(file.name), text)
    return
  }
  if (!isSegmentName(file.name)) return
  const folder = join(options.walDirectory, COLLECTED_FOLDER)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  await writeFileDurably(join(folder, `${file.name}.json`), Buffer.from(text), { mode: 0o600 })
  if (endsWalMetadataBulk(file.name)) await pushCollected(context, folder, walMetadataBulkFile(file.name))
}

async function pushCollected(context: OperationContext, folder: string, bulkFile: string): Promise<void> {
  const names = readdirSync(folder)
    .filter(name => name.startsWith(bulkFile) && name.endsWith('.json'))
    .sort()
  const pieces = names.map(name => ({ name, text: readFileSync(join(folder, name), 'utf8') }))
  await putText(context, walMetadataKey(bulkFile), mergeWalMetadata(pieces))
  for (const name of names) unlinkSync(join(folder, name))
}

async function putText(context: OperationContext, key: string, text: string): Promise<void> {
  await context.storage.put(key, streamOf(Buffer.from(text)), { signal: context.signal })
}
