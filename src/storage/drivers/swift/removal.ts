import { forEachOf } from '../../requests/for-each-of.ts'
import { dropBody, refusedRequest, textOf, verdictOfStatus } from '../../requests/http.ts'
import type { Abortable } from '../../storage.ts'
import { type BulkAnswer, encoded } from './answers.ts'
import { refusedAnswer, type SwiftPlace } from './refusals.ts'
import type { SwiftSession } from './session.ts'

export const DELETES_AT_A_TIME: number = 32
/** Objects in one request of a bulk delete: it is answered when all are gone. */
export const BULK_MAX: number = 500

export interface SwiftRemovalOptions {
  readonly session: SwiftSession
  readonly place: SwiftPlace
  /** Repeats what can be repeated. */
  request<T>(options: Abortable, run: (signal: AbortSignal) => Promise<T>): Promise<T>
}

/** Removes objects of a container by their names; missing ones are fine. */
export class SwiftRemoval {
  readonly #options: SwiftRemovalOptions

  constructor(options: SwiftRemovalOptions) {
    this.#options = options
  }

  /** Many in one request where the cluster can do that; a single one costs less by itself. */
  async removeNames(names: readonly string[], options: Abortable): Promise<void> {
    let hasBulk = names.length > 1
    for (let at = 0; hasBulk && at < names.length; at += BULK_MAX) {
      hasBulk = await this.#removeInBulk(names.slice(at, at + BULK_MAX), options)
      options.onProgress?.()
    }
    if (!hasBulk) await forEachOf(names, DELETES_AT_A_TIME, name => this.#removeName(name, options))
  }

  /** false when the cluster knows no bulk deletes. */
  async #removeInBulk(names: readonly string[], options: Abortable): Promise<boolean> {
    const container = encodeURIComponent(this.#options.place.container)
    const body = names.map(name => `/${container}/${encoded(name)}`).join('\n')
    return this.#options.request(options, async signal => {
      const headers = { 'content-type': 'text/plain', accept: 'application/json' }
      const answer = await this.#options.session.send('?bulk-delete', {
        method: 'POST',
        headers,
        body,
        signal,
      })
      if (!answer.ok) {
        await dropBody(answer)
        // what is wrong with it for another reason, the single requests will tell
        return false
      }
      const text = await textOf(answer, signal)
      if (!text.includes('Number Deleted')) return false
      checkBulk(text, `delete ${names.length} objects`, this.#options.place.storage)
      return true
    })
  }

  async #removeName(name: string, options: Abortable): Promise<void> {
    await this.#options.request(options, async signal => {
      const answer = await this.#options.session.send(
        `/${encodeURIComponent(this.#options.place.container)}/${encoded(name)}`,
        {
          method: 'DELETE',
          headers: {},
          signal,
        },
      )
      if (!answer.ok && answer.status !== 404)
        throw await refusedAnswer(answer, this.#options.place, `delete object "${name}"`, name, signal)
      await dropBody(answer)
    })
  }
}

/** The status of the request says nothing: errors are in its body, which comes when all is done. */
export function checkBulk(text: string, doing: string, storage: string): void {
  const { Errors: errors = [], 'Response Status': status = '' } = JSON.parse(text) as BulkAnswer
  const failed = errors.filter(([, each]) => !each.startsWith('404'))
  const overall = Number.parseInt(failed[0]?.[1] ?? status, 10)
  if (failed.length === 0 && (status.startsWith('2') || errors.length > 0 || status.startsWith('404'))) return
  const refusal = { status: overall, reason: failed[0]?.join(': ') ?? status, retryAfter: null }
  throw refusedRequest(refusal, verdictOfStatus(overall), doing, { storage })
}
