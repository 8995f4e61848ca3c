import type { FileBatchData } from './file-batch.ts'
import { LARGE_BATCH_BYTES } from './packed-files.ts'

/** What goes from a worker to the thread that has the files. */
export type FeedRequest =
  /** `isAhead`: there is still work, this is for afterwards. */
  | { readonly kind: 'more files'; readonly isAhead: boolean }
  /** Given back, with what became of the files. */
  | { readonly kind: 'files done'; readonly batch: FileBatchData }

/** `not yet`: only large files are left, and they go to whoever is free. Undefined: nothing is left. */
export type FeedAnswer = FileBatchData | 'not yet' | undefined

/**
 * A worker's end of the supply of files: one batch in hand and, while files are small, one ahead, so that nobody
 * waits for an answer. At most one request is under way.
 */
export class FileFeed {
  readonly #post: (request: FeedRequest) => void
  #ahead: FileBatchData | undefined
  #isAsked = false
  #isEnded = false
  #deliver: ((batch: FileBatchData | undefined) => void) | undefined

  constructor(post: (request: FeedRequest) => void) {
    this.#post = post
  }

  /** Gives `finished` back and waits for the next batch; undefined when no file is left. */
  next(finished: FileBatchData | undefined): Promise<FileBatchData | undefined> {
    if (finished !== undefined) this.#post({ kind: 'files done', batch: finished })
    return new Promise(resolve => {
      this.#deliver = resolve
      if (this.#ahead !== undefined || this.#isEnded) this.#settle()
      else this.#ask(false)
    })
  }

  receive(answer: FeedAnswer): void {
    this.#isAsked = false
    if (answer === undefined) this.#isEnded = true
    else if (answer !== 'not yet') this.#ahead = answer
    if (this.#deliver === undefined) return
    if (answer === 'not yet') this.#ask(false)
    else this.#settle()
  }

  #ask(isAhead: boolean): void {
    if (this.#isAsked || this.#isEnded) return
    this.#isAsked = true
    this.#post({ kind: 'more files', isAhead })
  }

  #settle(): void {
    const batch = this.#ahead
    const deliver = this.#deliver
    this.#ahead = undefined
    this.#deliver = undefined
    // After a large file comes, most likely, another: asked for when there is nothing else to do.
    if (batch !== undefined && !isLarge(batch)) this.#ask(true)
    deliver?.(batch)
  }
}

function isLarge(batch: FileBatchData): boolean {
  return batch.bytes >= LARGE_BATCH_BYTES
}
