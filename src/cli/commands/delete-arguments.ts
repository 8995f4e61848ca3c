import { hasCode } from '../../kit/errors.ts'
import { checkJson } from '../../kit/json.ts'
import { MIB } from '../../kit/sizes.ts'
import { epochNs, nowNs, parseTimestamp } from '../../kit/timestamp.ts'
import type { BackupReference, DeleteRequest, PlanOptions } from '../../operations/delete/request.ts'
import { usage } from '../arguments.ts'
import type { Invocation } from '../command.ts'

export type DeleteArguments = Pick<Invocation, 'positionals' | 'flags'>

/** What the settings say about every kind of delete. */
export function planOptionsOf({ settings, flags }: Pick<Invocation, 'settings' | 'flags'>): PlanOptions {
  return {
    segmentBytes: settings.WALG_PG_WAL_SIZE * MIB,
    garbageMinAgeMs: settings.WALG_GARBAGE_MIN_AGE,
    nowNs: nowNs(),
    isStartTimeUsed: flags['use-sentinel-time'] === true,
  }
}

export function readBefore({ positionals }: DeleteArguments): DeleteRequest {
  const [first = '', second] = positionals
  if (second !== undefined && !isModifier(first)) throw wrongModifier(['FIND_FULL'])
  if (second !== undefined && first === 'FULL') {
    throw usage('unsupported moodifier for delete before command')
  }
  const reference = readReference(second ?? first, 'cannot delete before future date')
  return { kind: 'before', isFullFound: second !== undefined, reference }
}

export function readRetain({ positionals, flags }: DeleteArguments): DeleteRequest {
  const [first = '', second] = positionals
  if (second !== undefined && !isModifier(first)) throw wrongModifier(['FULL', 'FIND_FULL'])
  const after = flags['after']
  return {
    kind: 'retain',
    modifier: second === undefined ? null : (first as 'FULL' | 'FIND_FULL'),
    count: readCount(second ?? first),
    after:
      typeof after === 'string' && after !== ''
        ? readReference(after, 'cannot retain after future date')
        : null,
  }
}

export function readEverything({ positionals: [modifier] }: DeleteArguments): DeleteRequest {
  if (modifier !== undefined && modifier !== 'FORCE') throw wrongModifier(['FORCE'])
  return { kind: 'everything', isForced: modifier === 'FORCE' }
}

export function readGarbage({ positionals: [modifier], flags }: DeleteArguments): DeleteRequest {
  if (modifier !== undefined && modifier !== 'ARCHIVES' && modifier !== 'BACKUPS') {
    throw wrongModifier(['ARCHIVES', 'BACKUPS'])
  }
  const mode = modifier === 'ARCHIVES' ? 'archives' : modifier === 'BACKUPS' ? 'backups' : 'all'
  return { kind: 'garbage', mode, isWithoutBackupCheck: flags['without-backup-check'] === true }
}

export function readTarget({ positionals, flags }: DeleteArguments): DeleteRequest {
  const userData = flags['target-user-data']
  const isWholeChain = positionals[0] === 'FIND_FULL'
  const [name, ...others] = isWholeChain ? positionals.slice(1) : positionals
  const hasUserData = typeof userData === 'string' && userData !== ''
  if (others.length > 0 || (name === undefined) !== hasUserData) throw usage('incorrect arguments')
  if (name === 'LATEST') return { kind: 'target', isWholeChain, selection: { kind: 'latest' } }
  if (name !== undefined) return { kind: 'target', isWholeChain, selection: { kind: 'name', name } }
  const json = String(userData)
  try {
    checkJson(json)
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
    throw usage(`the user data to look for is not valid JSON: ${json}`)
  }
  return { kind: 'target', isWholeChain, selection: { kind: 'user-data', json } }
}

function isModifier(word: string): boolean {
  return word === 'FULL' || word === 'FIND_FULL'
}

function wrongModifier(words: readonly string[]): Error {
  return usage(`expected to get one of modifiers: [${words.join(' ')}] as first argument`)
}

function readCount(text: string): number {
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(Number(text))) {
    const reason = `strconv.Atoi: parsing "${text}": invalid syntax`
    throw usage(`expected to get a number as retantion count, but got: '${text}': ${reason}`)
  }
  if (Number(text) <= 0) throw usage('cannot retain less than one backup. Check out delete everything')
  return Number(text)
}

/** A time with its zone, or a name. What begins like a date is no name. */
function readReference(text: string, futureMessage: string): BackupReference {
  let timeNs: bigint | undefined
  try {
    timeNs = epochNs(parseTimestamp(text))
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
  }
  if (timeNs === undefined) {
    if (!/^\d{4}-\d\d?-/.test(text)) return { kind: 'name', name: text }
    throw usage(
      `not a time with its zone: "${text}", expected e.g. 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+02:00`,
    )
  }
  if (timeNs > nowNs()) throw usage(futureMessage)
  return { kind: 'time', timeNs }
}
