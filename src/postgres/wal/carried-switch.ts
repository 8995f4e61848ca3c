import { isZero } from '../../kit/bytes.ts'
import { RECORD_HEADER_BYTES } from './partial-record.ts'

/** Of the last eight bytes of a record's header, which are never cut: `xl_info`, `xl_rmid`, two bytes of padding, `xl_crc`. */
const LAST_BYTES = 8
const XLOG_SWITCH = 0x40

/**
 * Tells whether the bytes from `from` to `to` of a page, with which a record ends that began in the page before, are those of a
 * switch. It is nothing but a header of 24 bytes; where a segment has room for only 8 or 16 of them, the rest opens the next
 * one, which PostgreSQL then leaves empty. Source: `xlogrecord.h`, `ReserveXLogSwitch` of xlog.c.
 */
export function isEndOfSwitch(page: Uint8Array, from: number, to: number): boolean {
  if (to - from < LAST_BYTES || to - from >= RECORD_HEADER_BYTES) return false
  const at = to - LAST_BYTES
  const isSwitch = (page[at]! & 0xf0) === XLOG_SWITCH && page[at + 1] === 0
  return isSwitch && page[at + 2] === 0 && page[at + 3] === 0 && isZero(page, to)
}
