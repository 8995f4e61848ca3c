import type { ByteStream } from '../kit/bytes.ts'
import { createTarReader, type UnpackedMember } from './unpack.ts'

/** One member of a tar with its content, lent until the next one is asked for. */
export interface StreamedMember {
  readonly member: UnpackedMember
  /** To be read to its end; what is left of it is passed over. */
  readonly content: ByteStream
}

/** The members of a tar, one after the other, as the stream brings them. Throws FORMAT_INVALID, FORMAT_TRUNCATED. */
export async function* readMembers(stream: ByteStream, archive: string): AsyncGenerator<StreamedMember> {
  const reader = createTarReader(archive)
  const chunks = stream[Symbol.asyncIterator]()
  /** The next step; undefined at the end of the stream. */
  const nextStep = async (): Promise<'member' | 'data' | 'member-end' | undefined> => {
    for (;;) {
      const step = reader.step()
      if (step !== 'need-block') return step
      const next = await chunks.next()
      if (next.done === true) return undefined
      reader.feed(next.value)
    }
  }
  try {
    let state: 'between' | 'within' = 'between'
    const content = async function* (): AsyncGenerator<Uint8Array> {
      while (state === 'within') {
        const step = await nextStep()
        if (step === 'data') yield reader.data
        else if (step === 'member-end') state = 'between'
        else reader.finish()
      }
    }
    reader.feed(new Uint8Array(0))
    for (let step = await nextStep(); step !== undefined; step = await nextStep()) {
      if (step !== 'member') continue
      state = 'within'
      yield { member: reader.member, content: content() }
      for await (const _ of content()) {
        // passed over
      }
    }
    reader.finish()
  } finally {
    await chunks.return?.()
  }
}
