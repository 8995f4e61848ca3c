import { CRC32C_BEGIN, endCrc32c, updateCrc32c } from '../crc32c.ts'
import { RECORD_HEADER_BYTES } from './partial-record.ts'

const CRC_AT = 20

/**
 * The back link of a record that is in memory from its first to its last byte; undefined when its length or its CRC-32C says that
 * it is no whole record.
 */
export function backLinkOfWholeRecord(bytes: Uint8Array): bigint | undefined {
  if (bytes.length < RECORD_HEADER_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== bytes.length) return undefined
  const crc = updateCrc32c(updateCrc32c(CRC32C_BEGIN, bytes, RECORD_HEADER_BYTES), bytes, 0, CRC_AT)
  return endCrc32c(crc) === view.getUint32(CRC_AT, true) ? view.getBigUint64(8, true) : undefined
}
