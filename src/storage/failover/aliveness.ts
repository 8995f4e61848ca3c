/** What is known of a storage from probes and from the results of operations. */
export interface StorageStatus {
  /** Moving average of the weights of all operations. */
  readonly potential: number
  /** The same with 0 for those that failed. */
  readonly actual: number
  /** The judgement before: a storage leaves it only beyond the limit of the other one. */
  readonly wasAlive: boolean
  /** Milliseconds since 1970 of the last result. */
  readonly updatedMs: number
  /** Of a probe that failed: how long it took. One that fails at once is worth another at any time. */
  readonly probeMs?: number
}

/** All strictly between 0 and 1. */
export interface AlivenessLimits {
  readonly aliveLimit: number
  readonly deadLimit: number
  readonly alphaAliveMax: number
  readonly alphaAliveMin: number
  readonly alphaDeadMax: number
  readonly alphaDeadMin: number
}

export const WEIGHT_EXISTS = 1000
export const WEIGHT_LIST = 2000
export const WEIGHT_COPY = 2000

/** Reading or writing so many bytes. */
export function transferWeight(bytes: number): number {
  const megabytes = bytes / (1 << 20)
  return 1000 * (1 + Math.max(0, Math.log10(Math.max(megabytes, 1))))
}

/** Deleting so many objects. */
export function deleteWeight(objects: number): number {
  return 500 * (1 + Math.log10(Math.max(objects, 1)))
}

/** After a probe nothing counts but its result. */
export function probedStatus(isAlive: boolean, nowMs: number, probeMs?: number): StorageStatus {
  const status = { potential: 0, actual: 0, wasAlive: isAlive, updatedMs: nowMs }
  return probeMs === undefined ? status : { ...status, probeMs }
}

/** Alive until the share of what went well falls to the dead limit; dead until it rises to the alive limit. */
export function isAlive(status: StorageStatus, limits: AlivenessLimits): boolean {
  if (status.potential === 0) return status.wasAlive
  const aliveness = status.actual / status.potential
  return status.wasAlive ? aliveness > limits.deadLimit : aliveness >= limits.aliveLimit
}

/** Takes the result of one operation into the averages. */
export function withResult(
  status: StorageStatus,
  result: { readonly weight: number; readonly isSuccess: boolean },
  limits: AlivenessLimits,
  nowMs: number,
): StorageStatus {
  const alpha = alphaOf(status, limits)
  const average = (before: number, value: number): number => value * alpha + before * (1 - alpha)
  return {
    potential: average(status.potential, result.weight),
    actual: average(status.actual, result.isSuccess ? result.weight : 0),
    wasAlive: isAlive(status, limits),
    updatedMs: nowMs,
  }
}

/** Results weigh most for an alive storage at the dead limit, and for a dead one at 0; in between it is linear. */
function alphaOf(status: StorageStatus, limits: AlivenessLimits): number {
  const aliveness = status.potential === 0 ? 0 : status.actual / status.potential
  return isAlive(status, limits)
    ? between(aliveness, limits.deadLimit, 1, limits.alphaAliveMax, limits.alphaAliveMin)
    : between(aliveness, 0, limits.aliveLimit, limits.alphaDeadMax, limits.alphaDeadMin)
}

function between(value: number, from: number, to: number, atFrom: number, atTo: number): number {
  const share = Math.min(1, Math.max(0, (value - from) / (to - from)))
  return atFrom + (atTo - atFrom) * share
}
