import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { streamOf } from '../../kit/bytes.ts'
import { errnoOf, fromSystemError, hasCode, type WalgError } from '../../kit/errors.ts'
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
  const failure = await collect(join(folder, `${file.name}.json`), text)
  if (failure !== undefined) {
    context.log.warning(
      `unable to collect the metadata of ${file.name}: ${failure.message}; putting them alone`,
    )
    await putText(context, walMetadataKey(file.name), text)
  }
  if (endsWalMetadataBulk(file.name)) await pushCollected(context, folder, walMetadataBulkFile(file.name))
}

/** Keeps a piece until its sixteen are complete; what hinders that (a full disk, say) is returned. */
async function collect(path: string, text: string): Promise<WalgError | undefined> {
  try {
    makeFolder(dirname(path))
    await writeFileDurably(path, Buffer.from(text), { mode: 0o600 })
    return undefined
  } catch (error) {
    if (hasCode(error, 'DISK_FULL', 'FILE_ACCESS', 'FILE_NOT_FOUND')) return error
    throw error
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw fromSystemError(error, 'create', path)
  }
}

async function pushCollected(context: OperationContext, folder: string, bulkFile: string): Promise<void> {
  const names = listFolder(folder)
    .filter(name => name.startsWith(bulkFile) && name.endsWith('.json'))
    .sort()
  if (names.length === 0) return
  const pieces = names.map(name => ({ name, text: readFileSync(join(folder, name), 'utf8') }))
  await putText(context, walMetadataKey(bulkFile), mergeWalMetadata(pieces))
  for (const name of names) unlinkSync(join(folder, name))
}

/** Nothing where this user may not look: then nothing was collected either. */
function listFolder(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if (['ENOENT', 'EACCES'].includes(errnoOf(error) ?? '')) return []
    throw fromSystemError(error, 'read', path)
  }
}

async function putText(context: OperationContext, key: string, text: string): Promise<void> {
  await context.storage.put(key, streamOf(Buffer.from(text)), { signal: context.signal })
}
