import { WalgError } from '../../../kit/errors.ts'
import { isPassing, type RetryOptions, retry } from '../../../kit/retry.ts'
import { storageClosed } from '../../lifetime.ts'
import type { SftpDescription } from './description.ts'
import { connectSession, type SftpSession } from './session.ts'

/** A lost connection is opened again so often, and so long, for what can be replayed: a server that restarts is back by then. */
const RETRY: Omit<RetryOptions, 'signal'> = {
  attemptsMax: 8,
  delayMs: 250,
  delayMsMax: 10_000,
  deadlineMs: 40_000,
}

/** The way to the server: one session at a time, a new one when the last was lost. */
export class SftpLink {
  readonly #description: SftpDescription
  readonly #storage: string
  readonly #retry: Omit<RetryOptions, 'signal'>
  #session: Promise<SftpSession> | undefined
  #isClosed = false

  constructor(description: SftpDescription, storage: string, retryOptions: Partial<RetryOptions> = {}) {
    this.#description = description
    this.#storage = storage
    this.#retry = { ...RETRY, ...retryOptions }
  }

  /**
   * Runs `work` in a session; when that is lost, again in the next one. Only for work that can be done twice. `attempt`
   * counts from 1.
   */
  run<T>(
    work: (session: SftpSession, attempt: number) => Promise<T>,
    signal?: AbortSignal,
    attemptsMax: number = this.#retry.attemptsMax,
  ): Promise<T> {
    return retry(async attempt => work(await this.#open(), attempt), {
      ...this.#retry,
      attemptsMax,
      isRetryable: error => !this.#isClosed && isPassing(error) && !isAnswer(error),
      ...(signal === undefined ? {} : { signal }),
    })
  }

  async #open(): Promise<SftpSession> {
    if (this.#isClosed) throw storageClosed(this.#storage)
    const current = await this.#session
    if (current !== undefined && !current.isLost) return current
    return this.#connect(this.#session)
  }

  /** Whoever comes first connects, the others wait for the same session. */
  #connect(after: Promise<SftpSession> | undefined): Promise<SftpSession> {
    if (this.#session !== after && this.#session !== undefined) return this.#session
    const connecting = connectSession(this.#description, this.#storage).then(
      session => {
        if (this.#isClosed) session.lose(storageClosed(this.#storage))
        return session
      },
      error => {
        if (this.#session === connecting) this.#session = undefined
        throw error
      },
    )
    this.#session = connecting
    return connecting
  }

  /** Idempotent; what is under way ends with STORAGE_UNAVAILABLE. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const session = await this.#session?.catch(() => undefined)
    session?.lose(storageClosed(this.#storage))
  }
}

/** What the server answered will not be another answer the next time. */
function isAnswer(error: unknown): boolean {
  return error instanceof WalgError && error.facts['status'] !== undefined
}
