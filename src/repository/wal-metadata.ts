/** `WALG_UPLOAD_WAL_METADATA` (storage-format 2.5). */
export type WalMetadataMode = 'NOMETADATA' | 'INDIVIDUAL' | 'BULK'

/** Text of one `wal_005/<file>.json` (INDIVIDUAL), or of the piece that is collected for BULK. */
export declare function formatWalMetadata(file: string, createdNs: bigint): string
/** Joins pieces into the text of one BULK object, keys sorted. Throws FORMAT_INVALID naming the broken piece. */
export declare function mergeWalMetadata(
  pieces: readonly { readonly name: string; readonly text: string }[],
): string
/** The key of the BULK object of a segment: its name without the last digit. */
export declare function walMetadataBulkFile(segment: string): string
/** True when the push of this segment completes a BULK object (its name ends in `F`). */
export declare function endsWalMetadataBulk(segment: string): boolean
