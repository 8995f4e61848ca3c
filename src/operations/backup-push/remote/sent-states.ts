import { type ByteStream, concatBytes } from '../../../kit/bytes.ts'
import {
  isBegunAfter,
  parseStateFileName,
  stateFileBytes,
  TWO_PHASE_FOLDER,
} from '../../../postgres/walk/two-phase-state.ts'

const HEAD_BYTES = 8

/**
 * The content of a file as it is to be packed; undefined for a state file of a prepared transaction that recovery makes anew: of a
 * transaction from `nextXid` on, or one that the server sent while a checkpoint was writing it. See `findReplayedStates`.
 */
export async function contentUnlessReplayed(
  file: { readonly name: string; readonly sizeBytes: number },
  content: ByteStream,
  nextXid: bigint,
): Promise<ByteStream | undefined> {
  const [folder, name] = file.name.split('/')
  const state = folder === TWO_PHASE_FOLDER && name !== undefined ? parseStateFileName(name) : undefined
  if (state === undefined) return content
  if (isBegunAfter(state, nextXid)) return undefined
  const chunks = content[Symbol.asyncIterator]()
  let head: Uint8Array = new Uint8Array(0)
  while (head.length < HEAD_BYTES) {
    const next = await chunks.next()
    if (next.done === true) break
    // chunks are lent: what has been read must outlive the next one
    head = concatBytes([head, next.value])
  }
  return stateFileBytes(head) === file.sizeBytes ? joined(head, chunks) : undefined
}

async function* joined(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}
