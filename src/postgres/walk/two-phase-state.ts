/** Where the server keeps the state files of prepared transactions, below the data directory. */
export const TWO_PHASE_FOLDER = 'pg_twophase'

/** TwoPhaseFileHeader begins with magic and total_len (access/transam/twophase.c). */
const TOTAL_LENGTH_AT = 4

/** The transaction that a state file is named after; undefined for other names. */
export interface StateFileName {
  /** With its epoch from PostgreSQL 17 on (16 digits), the 32 bits of it before (8 digits). */
  readonly xid: bigint
  readonly hasEpoch: boolean
}

export function parseStateFileName(name: string): StateFileName | undefined {
  if (!/^(?:[0-9A-F]{8}){1,2}$/.test(name)) return undefined
  return { xid: BigInt(`0x${name}`), hasEpoch: name.length === 16 }
}

/**
 * True when the transaction began after the checkpoint that knew `nextXid` (with its epoch) as the next one to come. Without an epoch
 * ids go round: the half of them that comes after is later.
 */
export function isBegunAfter({ xid, hasEpoch }: StateFileName, nextXid: bigint): boolean {
  return hasEpoch ? xid >= nextXid : BigInt.asIntN(32, xid - nextXid) >= 0n
}

/** How long a state file says it is; -1 while it has no header. */
export function stateFileBytes(content: Uint8Array): number {
  if (content.length < TOTAL_LENGTH_AT + 4) return -1
  return new DataView(content.buffer, content.byteOffset, content.byteLength).getUint32(TOTAL_LENGTH_AT, true)
}
