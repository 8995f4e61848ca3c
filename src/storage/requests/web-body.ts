import type { WalgError } from '../../kit/errors.ts'

/** The chunks of an answer's body as they come. Left early, the transfer ends. Errors are what `translate` makes of them. */
export async function* chunksOfBody(
  body: ReadableStream<Uint8Array> | null | undefined,
  translate: (error: unknown) => WalgError,
): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader()
  if (reader === undefined) return
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } catch (error) {
    throw translate(error)
  } finally {
    await reader.cancel().catch(() => {})
  }
}
