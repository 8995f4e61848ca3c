import { type DeadlineOptions, withDeadline } from '../../kit/deadline.ts'

/** What a replication command sends back, in the order of its arrival. */
export type ReplyEvent =
  | { readonly kind: 'row'; readonly values: readonly (string | null)[] }
  | { readonly kind: 'row end' }
  | { readonly kind: 'copy begin' }
  /** The bytes are the receiver's. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly kind: 'copy end' }

/** Above this the socket is not read any more, until half of it is taken. */
const HELD_BYTES_MAX = 4 << 20

/** Events on their way from the socket to whoever pulls them; the socket rests while too many bytes wait. */
export class ReplyQueue {
  readonly #flow: { pause(): void; resume(): void }
  readonly #silence: DeadlineOptions | undefined
  #events: ReplyEvent[] = []
  #next = 0
  #heldBytes = 0
  #isPaused = false
  #end: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined

  /** `silence` bounds the wait for each event but the first. */
  constructor(flow: { pause(): void; resume(): void }, silence?: DeadlineOptions) {
    this.#flow = flow
    this.#silence = silence
  }

  push(event: ReplyEvent): void {
    this.#events.push(event)
    if (event.kind === 'data') this.#heldBytes += event.bytes.length
    if (!this.#isPaused && this.#heldBytes > HELD_BYTES_MAX) {
      this.#isPaused = true
      this.#flow.pause()
    }
    this.#wake?.()
  }

  /** Nothing more comes; with an error it is thrown when everything before it was taken. */
  close(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReplyEvent> {
    let silence: DeadlineOptions | undefined
    for (;;) {
      const event = this.#events[this.#next]
      if (event !== undefined) {
        this.#taken(event)
        silence = this.#silence
        yield event
        continue
      }
      if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error
        return
      }
      const arrival = new Promise<void>(resolve => {
        this.#wake = resolve
      })
      await (silence === undefined ? arrival : withDeadline(arrival, silence))
      this.#wake = undefined
    }
  }

  #taken(event: ReplyEvent): void {
    this.#next += 1
    if (this.#next === this.#events.length) {
      this.#events = []
      this.#next = 0
    }
    if (event.kind !== 'data') return
    this.#heldBytes -= event.bytes.length
    if (this.#isPaused && this.#heldBytes <= HELD_BYTES_MAX / 2) {
      this.#isPaused = false
      this.#flow.resume()
    }
  }
}
