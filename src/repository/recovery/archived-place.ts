import type { Codec } from '../../codec/codec.ts'
import { WalgError } from '../../kit/errors.ts'
import type { ControlFile } from '../../postgres/control-file.ts'
import { SegmentPiece, type Unreadable, type WalPlace } from '../../postgres/wal/segment-piece.ts'
import type { Storage } from '../../storage/storage.ts'
import { type FoundPayload, openFound } from '../sealed.ts'

/** What is damaged, gone since it was found, or sealed with a key that is not there. */
const USELESS = /^(FORMAT_|CHECKSUM_|DECRYPT_|KEY_|OBJECT_NOT_FOUND)/

/** Looks at a place in the archived segment `name`, which was found. Throws what keeps the storage from answering. */
export async function readArchivedPlace<T>(
  {
    storage,
    codec,
    signal,
  }: { readonly storage: Storage; readonly codec: Codec; readonly signal: AbortSignal },
  {
    found,
    name,
    control,
  }: { readonly found: FoundPayload; readonly name: string; readonly control: ControlFile },
  place: WalPlace<T>,
): Promise<T | Unreadable> {
  const piece = new SegmentPiece(name, place, control)
  try {
    await piece.takeFrom(await openFound(storage, codec, found, { signal }))
  } catch (error) {
    if (!(error instanceof WalgError) || !USELESS.test(error.code)) throw error
    return { kind: 'unreadable', reason: error.message }
  }
  return piece.judge()
}
