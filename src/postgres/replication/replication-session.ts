import { cancelled } from '../../kit/clock.ts'
import type { DeadlineOptions } from '../../kit/deadline.ts'
import { WalgError } from '../../kit/errors.ts'
import type { PgClient } from '../cluster/pg-client.ts'
import { fromQueryError } from '../cluster/query-error.ts'
import { type ReplyEvent, ReplyQueue } from './copy-stream.ts'

/** A warning of the server while a command runs. */
export interface ServerNotice {
  readonly severity: string
  readonly message: string
  readonly detail: string | undefined
}

export interface CommandOptions {
  readonly onNotice?: (notice: ServerNotice) => void
  /**
   * Nothing from the server for so long means that it hangs; 0: no limit. It counts from the first row or copy of the answer (what
   * comes before, a checkpoint for one, takes its time), and only while somebody waits for more.
   */
  readonly silenceMs?: number
}

/** The parts of a `pg` connection that its types leave out. */
interface RawConnection {
  readonly stream: { pause(): void; resume(): void; destroy(): void }
  query(text: string): void
  on(event: 'copyOutResponse' | 'copyDone', listener: () => void): void
  off(event: 'copyOutResponse' | 'copyDone', listener: () => void): void
}

const CLOSE_TIMEOUT_MS = 5000

/** A session in the replication protocol: commands, and the copies they stream. One command at a time. */
export class ReplicationSession implements AsyncDisposable {
  readonly address: string
  readonly #client: PgClient
  readonly #connection: RawConnection
  readonly #signal: AbortSignal
  #lost: unknown
  #queue: ReplyQueue | undefined
  #isClosed = false

  constructor(client: PgClient, address: string, signal: AbortSignal) {
    this.address = address
    this.#client = client
    this.#connection = (client as unknown as { connection: RawConnection }).connection
    this.#signal = signal
    client.on('error', error => this.#lose(error))
    client.on('end', () => this.#lose(new Error('the server closed the connection')))
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** The rows of a command without a copy. Throws CLUSTER_QUERY, CLUSTER_UNREACHABLE, CANCELLED. */
  async query(command: string): Promise<readonly (readonly (string | null)[])[]> {
    const rows: (readonly (string | null)[])[] = []
    for await (const event of this.run(command)) if (event.kind === 'row') rows.push(event.values)
    return rows
  }

  /**
   * Runs a command and hands on what comes back; the socket is read no faster than that is taken. Stopping early ends the
   * session. Throws as `query`, and TIMEOUT when the server falls silent.
   */
  async *run(command: string, options: CommandOptions = {}): AsyncGenerator<ReplyEvent> {
    if (this.#signal.aborted) throw cancelled(this.#signal)
    if (this.#lost !== undefined) throw this.#translate(this.#lost, command)
    const queue = new ReplyQueue(this.#connection.stream, this.#silence(options.silenceMs ?? 0))
    const beginCopy = (): void => queue.push({ kind: 'copy begin' })
    const endCopy = (): void => queue.push({ kind: 'copy end' })
    const onNotice = (notice: unknown): void => options.onNotice?.(noticeOf(notice))
    this.#queue = queue
    this.#connection.on('copyOutResponse', beginCopy)
    this.#connection.on('copyDone', endCopy)
    this.#client.on('notice', onNotice)
    let isDone = false
    try {
      this.#client.query(submittable(command, queue))
      yield* queue
      isDone = true
    } catch (error) {
      isDone = true
      throw this.#translate(error, command)
    } finally {
      this.#queue = undefined
      this.#connection.off('copyOutResponse', beginCopy)
      this.#connection.off('copyDone', endCopy)
      this.#client.off('notice', onNotice)
      if (!isDone) this.#connection.stream.destroy()
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#signal.removeEventListener('abort', this.#onAbort)
    const timer = setTimeout(() => this.#connection.stream.destroy(), CLOSE_TIMEOUT_MS)
    try {
      // a session that is gone already has nothing to say goodbye to
      if (this.#lost === undefined) await this.#client.end()
      else this.#connection.stream.destroy()
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The server ends a base backup when its client goes away. */
  readonly #onAbort = (): void => {
    this.#lose(cancelled(this.#signal))
    this.#connection.stream.destroy()
  }

  #lose(error: unknown): void {
    if (this.#isClosed) return
    this.#lost ??= error
    this.#queue?.close({ error: this.#lost })
  }

  #silence(timeoutMs: number): DeadlineOptions | undefined {
    if (timeoutMs <= 0) return undefined
    const onTimeout = (): WalgError => {
      this.#connection.stream.destroy()
      const seconds = Math.round(timeoutMs / 1000)
      return new WalgError('TIMEOUT', `PostgreSQL at ${this.address} has sent nothing for ${seconds} s`, {
        facts: { address: this.address },
        hint: 'look at the log of the server and at the network between',
      })
    }
    return { timeoutMs, onTimeout }
  }

  #translate(error: unknown, command: string): unknown {
    if (this.#signal.aborted) return cancelled(this.#signal)
    return fromQueryError(error, command, this.address, 0)
  }
}

/** What `pg` calls while the answer to a command comes in. */
function submittable(command: string, queue: ReplyQueue) {
  return {
    submit(connection: RawConnection): void {
      connection.query(command)
    },
    handleRowDescription(): void {},
    handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
      queue.push({ kind: 'row', values: [...message.fields] })
    },
    handleCopyData(message: { readonly chunk: Uint8Array }): void {
      // the parser writes into the same memory again
      queue.push({ kind: 'data', bytes: new Uint8Array(message.chunk) })
    },
    handleCommandComplete(): void {
      queue.push({ kind: 'row end' })
    },
    handleEmptyQuery(): void {},
    handlePortalSuspended(): void {},
    handleCopyInResponse(): void {},
    handleReadyForQuery(): void {
      queue.close()
    },
    handleError(error: unknown): void {
      queue.close({ error })
    },
  }
}

function noticeOf(notice: unknown): ServerNotice {
  const { severity, message, detail } = notice as Partial<Record<keyof ServerNotice, string>>
  return { severity: severity ?? 'NOTICE', message: message ?? '', detail }
}
