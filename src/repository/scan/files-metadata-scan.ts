import { readTimestamp } from '../../kit/timestamp.ts'
import type { FilesMetadata, PartMembers, ScannedEntry } from '../files-metadata.ts'
import { ascii, ByteScanner } from './byte-scanner.ts'

/**
 * The fast way into the two large members of `files_metadata.json`: bytes go straight into columns, no object and no
 * string is made for an entry. It knows exactly the form in which this program and the original write, in ASCII;
 * of anything else it says so, and the general parser takes the same bytes again.
 */

const QUOTE = 0x22
const COMMA = 0x2c
const CLOSE_ARRAY = 0x5d
const CLOSE_OBJECT = 0x7d
const AFTER_NAME = ascii(':{"IsIncremented":')
const BEFORE_SKIPPED = ascii(',"IsSkipped":')
const BEFORE_TIME = ascii(',"MTime":"')
const BEFORE_COUNT = ascii('","UpdatesCount":')
const TRUE = ascii('true')
const FALSE = ascii('false')
const OPEN_PART = ascii(':[')

/** Adds the entries between the braces of `Files`; false when a part of them is written otherwise. */
export function scanFiles(files: FilesMetadata, body: Uint8Array): boolean {
  const scanner = new ByteScanner(body)
  const entry: ScannedEntry = {
    bytes: body,
    nameFrom: 0,
    nameTo: 0,
    isIncremented: false,
    isSkipped: false,
    time: new Float64Array(3),
    updatesCount: 0,
  }
  while (scanEntry(scanner, entry)) {
    files.addScanned(entry)
    if (scanner.isAtEnd()) return true
    if (!scanner.skip(COMMA)) return false
  }
  return false
}

function scanEntry(scanner: ByteScanner, entry: ScannedEntry): boolean {
  if (!scanner.scanText() || !scanner.skipAll(AFTER_NAME)) return false
  entry.nameFrom = scanner.textFrom
  entry.nameTo = scanner.textTo
  entry.isIncremented = scanner.skipAll(TRUE)
  if (!entry.isIncremented && !scanner.skipAll(FALSE)) return false
  if (!scanner.skipAll(BEFORE_SKIPPED)) return false
  entry.isSkipped = scanner.skipAll(TRUE)
  if (!entry.isSkipped && !scanner.skipAll(FALSE)) return false
  if (!scanner.skipAll(BEFORE_TIME)) return false
  const end = entry.bytes.indexOf(QUOTE, scanner.at)
  if (end < 0 || !readTimestamp(entry.bytes, scanner.at, end, entry.time)) return false
  scanner.at = end
  if (!scanner.skipAll(BEFORE_COUNT) || !scanner.scanNumber()) return false
  entry.updatesCount = scanner.number
  return scanner.skip(CLOSE_OBJECT)
}

/**
 * Adds the members between the braces of `TarFileSets`; false, and nothing added, when they are written otherwise.
 * `open`: the part whose array began in an earlier group; `isCut`: the last array goes on in the next.
 */
export function scanParts(
  files: FilesMetadata,
  body: Uint8Array,
  open: string | undefined,
  isCut: boolean,
): boolean {
  const touched: { readonly members: PartMembers; readonly count: number }[] = []
  const part = (name: string): PartMembers => {
    const members = files.addPart(name)
    touched.push({ members, count: members.count })
    return members
  }
  const isScanned = scanAllParts(files, body, part, open, isCut)
  if (!isScanned) for (const { members, count } of touched.reverse()) members.truncate(count)
  return isScanned
}

function scanAllParts(
  files: FilesMetadata,
  body: Uint8Array,
  part: (name: string) => PartMembers,
  open: string | undefined,
  isCut: boolean,
): boolean {
  const scanner = new ByteScanner(body)
  let members = open === undefined ? undefined : part(open)
  for (;;) {
    if (members === undefined) {
      if (!scanner.scanText() || !scanner.skipAll(OPEN_PART)) return false
      members = part(scanner.text())
      if (scanner.skip(CLOSE_ARRAY)) members = undefined
    }
    if (members !== undefined && !scanMembers(scanner, body, files, members, isCut)) return false
    members = undefined
    if (scanner.isAtEnd()) return true
    if (!scanner.skip(COMMA)) return false
  }
}

/** To the end of the array, or of the group when that cuts it. */
function scanMembers(
  scanner: ByteScanner,
  body: Uint8Array,
  files: FilesMetadata,
  members: PartMembers,
  isCut: boolean,
): boolean {
  for (;;) {
    if (!scanner.scanText()) return false
    members.add(files.names.addSlice(body, scanner.textFrom, scanner.textTo))
    if (scanner.skip(CLOSE_ARRAY)) return true
    if (scanner.isAtEnd()) return isCut
    if (!scanner.skip(COMMA)) return false
  }
}
