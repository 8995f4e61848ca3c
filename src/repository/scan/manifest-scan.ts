import type { ScannedManifestFile } from '../manifest.ts'
import { ascii, ByteScanner } from './byte-scanner.ts'

const BEFORE_NAME = ascii('{"file":')
const BEFORE_OBJECT = ascii(',"in":')
const BEFORE_SIZE = ascii(',"size":')
const BEFORE_HASH = ascii(',"hash":')
const BEFORE_FILE_SIZE = ascii(',"fileSize":')
const BEFORE_USED = ascii(',"used":')
const BEFORE_KEPT = ascii('{"kept":')
const CLOSE_OBJECT = 0x7d

const ABSENT = -1

const scanner = new ByteScanner()

/**
 * The fast way into a file line of a content manifest: `into` is filled from the bytes, nothing is allocated. False
 * for any other line, and for names that are not plain ASCII: those are for the general parser.
 */
export function scanManifestFile(
  bytes: Uint8Array,
  from: number,
  to: number,
  into: ScannedManifestFile,
): boolean {
  scanner.begin(bytes, from, to)
  if (!scanner.skipAll(BEFORE_NAME) || !scanner.scanText()) return false
  into.bytes = bytes
  into.nameFrom = scanner.textFrom
  into.nameTo = scanner.textTo
  if (!scanner.skipAll(BEFORE_OBJECT) || !scanner.scanNumber()) return false
  into.object = scanner.number
  if (!scanner.skipAll(BEFORE_SIZE) || !scanner.scanNumber()) return false
  into.sizeBytes = scanner.number
  if (!scanner.skipAll(BEFORE_HASH) || !scanner.scanText()) return false
  if (!decodeHex(bytes, scanner.textFrom, scanner.textTo, into)) return false
  into.fileSizeBytes = scanOptional(BEFORE_FILE_SIZE)
  into.usedBytes = scanOptional(BEFORE_USED)
  into.zeroes = undefined
  return scanner.skip(CLOSE_OBJECT) && scanner.isAtEnd()
}

/** The same for the line of a file that is the parent's. */
export function scanKeptFile(
  bytes: Uint8Array,
  from: number,
  to: number,
  into: ScannedManifestFile,
): boolean {
  scanner.begin(bytes, from, to)
  if (!scanner.skipAll(BEFORE_KEPT) || !scanner.scanText()) return false
  into.bytes = bytes
  into.nameFrom = scanner.textFrom
  into.nameTo = scanner.textTo
  if (!scanner.skipAll(BEFORE_SIZE) || !scanner.scanNumber()) return false
  into.sizeBytes = scanner.number
  into.fileSizeBytes = ABSENT
  into.usedBytes = scanOptional(BEFORE_USED)
  into.zeroes = undefined
  return scanner.skip(CLOSE_OBJECT) && scanner.isAtEnd()
}

/** What cannot be read here leaves the scanner before the end of the line, which is noticed there. */
function scanOptional(before: Uint8Array): number {
  return scanner.skipAll(before) && scanner.scanNumber() ? scanner.number : ABSENT
}

function decodeHex(bytes: Uint8Array, from: number, to: number, into: ScannedManifestFile): boolean {
  const length = (to - from) / 2
  if (length === 0 || !Number.isInteger(length)) return false
  if (into.hash.length !== length) into.hash = new Uint8Array(length)
  for (let index = 0; index < length; index += 1) {
    const high = digit(bytes[from + 2 * index]!)
    const low = digit(bytes[from + 2 * index + 1]!)
    if (high < 0 || low < 0) return false
    into.hash[index] = 16 * high + low
  }
  return true
}

/** Value of a lower-case hex digit, or -1. */
function digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1
}
