import { errnoOf, WalgError } from '../../kit/errors.ts'
import type { SettingProblem } from '../../kit/settings.ts'
import type { LogFields, LogSink } from './log.ts'

/** Logs a failure in at most three lines: what, why (the deepest cause), what a person can do next. */
export function logError(sink: LogSink, error: unknown): void {
  const { what, why, hint, fields } = describeError(error)
  const isText = sink.options.format === 'text'
  const lines = [what]
  if (isText && why !== undefined) lines.push(`  cause: ${why}`)
  if (isText && hint !== undefined) lines.push(`  hint: ${hint}`)
  const isBug = !(firstOf(error) instanceof WalgError)
  if (isText && (isBug || sink.options.level === 'DEVEL')) lines.push(...stacksOf(error))
  sink.write('ERROR', lines.join('\n'), fields)
}

/** Logs all problems of the settings, each with its hint. */
export function logSettingProblems(sink: LogSink, problems: readonly SettingProblem[]): void {
  for (const { code, names, message, hint } of problems) {
    const isText = sink.options.format === 'text'
    const line = isText && hint !== undefined ? `${message}\n  hint: ${hint}` : message
    sink.write('ERROR', line, { code, settings: names, ...(hint === undefined ? {} : { hint }) })
  }
}

interface ErrorDescription {
  readonly what: string
  readonly why: string | undefined
  readonly hint: string | undefined
  readonly fields: LogFields
}

/** What to say about any thrown value. A value that is no WalgError is a mistake of this program. */
export function describeError(error: unknown): ErrorDescription {
  const first = firstOf(error)
  const isKnown = first instanceof WalgError
  const others = error instanceof AggregateError ? error.errors.length - 1 : 0
  const suffix = others > 0 ? ` (and ${others} more)` : ''
  const what = `${isKnown ? '' : 'internal error: '}${messageOf(first)}${suffix}`
  const why = reasonBelow(first, what)
  const hint = isKnown
    ? (first.hint ?? hintBelow(first))
    : 'this is a mistake of the program: please report it'
  return {
    what,
    why,
    hint,
    fields: {
      ...(isKnown ? { code: first.code, facts: first.facts } : { code: 'ASSERTION', stack: stacksOf(error) }),
      ...(why === undefined ? {} : { cause: why }),
      ...(hint === undefined ? {} : { hint }),
    },
  }
}

function firstOf(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? firstOf(error.errors[0]) : error
}

/** The message of the deepest cause that says more than `what`. */
function reasonBelow(error: unknown, what: string): string | undefined {
  let at = error
  let reason: string | undefined
  for (let depth = 0; depth < 20; depth += 1) {
    const cause = at instanceof Error ? firstOf(at.cause) : undefined
    if (cause === undefined || cause === null) break
    const message = messageOf(cause)
    // A system error (`ENOENT: no such file or directory, open 'x'`) mostly repeats what its translation says.
    const essence = errnoOf(cause) === undefined ? message : message.replace(/^E\w+: ([^,]*).*$/s, '$1')
    if (![what, reason].some(said => said?.includes(essence))) reason = message
    at = cause
  }
  return reason?.replaceAll(/\s*\n\s*/g, ' ')
}

function hintBelow(error: WalgError): string | undefined {
  let at: unknown = error.cause
  for (let depth = 0; depth < 20 && at instanceof Error; depth += 1) {
    if (at instanceof WalgError && at.hint !== undefined) return at.hint
    at = firstOf(at.cause)
  }
  return undefined
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' ? error.name : error.message
}

function stacksOf(error: unknown): string[] {
  const stacks: string[] = []
  let at: unknown = error
  for (let depth = 0; depth < 20 && at instanceof Error; depth += 1) {
    stacks.push(...(at.stack ?? messageOf(at)).split('\n'))
    if (at instanceof AggregateError) {
      for (const inner of at.errors) if (inner instanceof Error) stacks.push(inner.stack ?? messageOf(inner))
    }
    at = at.cause
  }
  return stacks
}
