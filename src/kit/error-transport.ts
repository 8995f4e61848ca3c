import { type ErrorCode, type ErrorFacts, WalgError } from './errors.ts'

/** An error as plain data, for `postMessage` between threads: code, facts, hint and causes survive. */
export interface PlainError {
  readonly code?: ErrorCode
  readonly message: string
  readonly facts?: ErrorFacts
  readonly hint?: string
  /** Of an error that is not coded: our own bug. */
  readonly stack?: string
  readonly cause?: PlainError
}

/** Causes beyond this depth are left out. */
const CAUSES_MAX = 8

/** Takes an error apart. Anything that was thrown is accepted. */
export function encodeError(error: unknown, causesMax: number = CAUSES_MAX): PlainError {
  if (!(error instanceof Error)) return { message: String(error) }
  const cause =
    error.cause === undefined || causesMax === 0 ? {} : { cause: encodeError(error.cause, causesMax - 1) }
  if (!(error instanceof WalgError)) {
    return { message: error.message, ...(error.stack === undefined ? {} : { stack: error.stack }), ...cause }
  }
  const hint = error.hint === undefined ? {} : { hint: error.hint }
  return { code: error.code, message: error.message, facts: error.facts, ...hint, ...cause }
}

/** Puts an error together again; what was a WalgError is one. */
export function decodeError(plain: PlainError): Error {
  const cause = plain.cause === undefined ? {} : { cause: decodeError(plain.cause) }
  if (plain.code !== undefined) {
    return new WalgError(plain.code, plain.message, {
      facts: plain.facts ?? {},
      ...(plain.hint === undefined ? {} : { hint: plain.hint }),
      ...cause,
    })
  }
  const error = new Error(plain.message, cause)
  if (plain.stack !== undefined) error.stack = plain.stack
  return error
}
