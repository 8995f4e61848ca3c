import type { ByteStream } from '../../kit/bytes.ts'

/** A WAL file that travels inside a backup, as `/pg_wal/<file>`. */
export interface WalMember {
  readonly memberName: string
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
  open(): Promise<ByteStream>
}
