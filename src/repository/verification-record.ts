import type { Codec } from '../codec/codec.ts'
import { collect } from '../kit/bytes.ts'
import { isDamage, WalgError } from '../kit/errors.ts'
import { JsonMembers, type JsonValue, writeJson } from '../kit/json.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import type { BackupName } from './backup-name.ts'
import { backupPrefix } from './layout.ts'
import { findPayload, openFound, putSealed } from './sealed.ts'

/** Ours, beside `tar_partitions/`: the original ignores it there and deletes it with the backup (`docs/FORMAT.md`). */
export const VERIFICATION_RECORD_NAME = 'verification.jsonl'
const FORMAT = 'wal-g verification'
const VERSION = 1
const RECORD_BYTES_MAX = 512 << 20

/** A stored object as it was when it was found good. */
export interface VerifiedRecord {
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
  readonly verifiedNs: bigint
}

interface RecordPlace extends Abortable {
  readonly storage: Storage
  readonly codec: Codec
  readonly backup: BackupName
}

/**
 * What earlier runs found good of one backup and the WAL it needs. Empty when there is no record, or one of a later
 * version, or one that cannot be read: then everything is simply verified again.
 */
export async function readVerificationRecord(place: RecordPlace): Promise<readonly VerifiedRecord[]> {
  const { storage, codec } = place
  const found = await findPayload(storage, recordName(place), { ...place, firstExtension: codec.extension })
  if (found === null) return []
  try {
    const body = await collect(await openFound(storage, codec, found, place), RECORD_BYTES_MAX)
    return parseRecord(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (error) {
    if (isDamage(error) || error instanceof RangeError || error instanceof TypeError) return []
    throw error
  }
}

/** Replaces the record of a backup. */
export async function putVerificationRecord(
  place: RecordPlace,
  records: Iterable<VerifiedRecord>,
): Promise<void> {
  await putSealed(place.storage, place.codec, recordName(place), encodeRecord(records), place)
}

function recordName({ backup }: RecordPlace): string {
  return `${backupPrefix(backup)}/${VERIFICATION_RECORD_NAME}`
}

async function* encodeRecord(records: Iterable<VerifiedRecord>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  yield encoder.encode(line({ format: FORMAT, version: VERSION }))
  for (const { key, sizeBytes, modifiedNs, verifiedNs } of records) {
    yield encoder.encode(line({ key, size: sizeBytes, modified: modifiedNs, verified: verifiedNs }))
  }
}

function line(value: JsonValue): string {
  return `${writeJson(value, 'v2')}\n`
}

function parseRecord(text: string): VerifiedRecord[] {
  const [head = '', ...lines] = text.split('\n')
  const header = JsonMembers.parse(head)
  if (header.string('format') !== FORMAT || header.integer('version') !== VERSION) return []
  return lines.filter(one => one !== '').map(parseLine)
}

function parseLine(text: string): VerifiedRecord {
  const members = JsonMembers.parse(text)
  const key = members.string('key')
  const sizeBytes = members.integer('size')
  const modifiedNs = members.bigint('modified')
  const verifiedNs = members.bigint('verified')
  if (key === undefined || sizeBytes === undefined || modifiedNs === undefined || verifiedNs === undefined) {
    throw new WalgError('FORMAT_INVALID', 'a line of a verification record is incomplete')
  }
  return { key, sizeBytes, modifiedNs, verifiedNs }
}
