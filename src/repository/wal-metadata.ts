import { WalgError } from '../kit/errors.ts'
import { compactJson, JsonMembers, writeJson } from '../kit/json.ts'
import { formatTimestamp, timestampFromNs } from '../kit/timestamp.ts'
import { DATE_FORMAT } from './date-format.ts'

/** `WALG_UPLOAD_WAL_METADATA` (storage-format 2.5). */
export type WalMetadataMode = 'NOMETADATA' | 'INDIVIDUAL' | 'BULK'

export const WAL_METADATA_MODES: readonly WalMetadataMode[] = ['BULK', 'INDIVIDUAL', 'NOMETADATA']

/** Text of one `wal_005/<file>.json` (INDIVIDUAL), or of the piece that is collected for BULK. */
export function formatWalMetadata(file: string, createdNs: bigint): string {
  return writeJson({
    [file]: { created_time: formatTimestamp(timestampFromNs(createdNs)), date_fmt: DATE_FORMAT },
  })
}

/** Joins pieces into the text of one BULK object, keys sorted. Throws FORMAT_INVALID naming the broken piece. */
export function mergeWalMetadata(
  pieces: readonly { readonly name: string; readonly text: string }[],
): string {
  const entries = new Map<string, string>()
  for (const { name, text } of pieces) {
    try {
      for (const [key, raw] of JsonMembers.entries(text)) entries.set(key, compactJson(raw))
    } catch (error) {
      if (!(error instanceof WalgError)) throw error
      throw new WalgError('FORMAT_INVALID', `WAL metadata "${name}": ${error.message}`, { cause: error })
    }
  }
  const keys = [...entries.keys()].sort()
  return `{${keys.map(key => `${JSON.stringify(key)}:${entries.get(key)}`).join(',')}}`
}

/** What stands before `.json` in the key of the BULK object of a segment: its name without the last digit. */
export function walMetadataBulkFile(segment: string): string {
  return segment.slice(0, 23)
}

/** True when the push of this segment completes a BULK object (its name ends in `F`). */
export function endsWalMetadataBulk(segment: string): boolean {
  return segment.endsWith('F')
}
