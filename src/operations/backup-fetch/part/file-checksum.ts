import { createHash, type Hash } from 'node:crypto'
import { CRC32C_BEGIN, endCrc32c } from '../../../postgres/crc32c.ts'
import { type Crc32cEngine, openCrc32c } from '../../../postgres/crc32c-engine.ts'
import { checksumBytes, type ManifestChecksums } from './part-protocol.ts'

/** The checksum that backup_manifest holds of one file after the other. */
export interface FileChecksum {
  readonly sizeBytes: number
  reset(): void
  update(bytes: Uint8Array): void
  /** Writes the checksum at `into[at…]`, in the byte order that PostgreSQL shows. */
  write(into: Uint8Array, at: number): void
}

/** One per thread, opened when the first file is checksummed. */
let engine: Crc32cEngine | undefined

/** Opens it; `none` has a size of 0 and does nothing. */
export function openFileChecksum(checksums: ManifestChecksums): FileChecksum {
  const sizeBytes = checksumBytes(checksums)
  if (checksums === 'crc32c') {
    engine ??= openCrc32c()
    const { update } = engine
    let value = CRC32C_BEGIN
    return {
      sizeBytes,
      reset: () => {
        value = CRC32C_BEGIN
      },
      update: bytes => {
        value = update(value, bytes)
      },
      write: (into, at) =>
        new DataView(into.buffer, into.byteOffset + at, 4).setUint32(0, endCrc32c(value), true),
    }
  }
  if (checksums === 'sha256') {
    let hash: Hash = createHash('sha256')
    return {
      sizeBytes,
      reset: () => {
        hash = createHash('sha256')
      },
      update: bytes => {
        hash.update(bytes)
      },
      write: (into, at) => into.set(hash.digest(), at),
    }
  }
  return { sizeBytes, reset() {}, update() {}, write() {} }
}
