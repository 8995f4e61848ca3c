import { WalgError } from '../kit/errors.ts'
import { duration } from '../kit/setting-parsers.ts'
import type { RecoveryChoice } from '../operations/restore/options.ts'
import {
  parseLsnTarget,
  parseNameTarget,
  parseTimeTarget,
  parseXidTarget,
  type RecoveryAction,
  type RecoveryTarget,
} from '../postgres/recovery-target.ts'
import { toTimelineId } from '../postgres/wal-segment.ts'
import type { FlagDefinition, Invocation } from './command.ts'

type Flags = Invocation['flags']

/** How far: of `restore` and `drill`. */
export const TARGET_FLAGS: readonly FlagDefinition[] = [
  { name: 'backup', type: 'string', doc: 'Recover from this backup instead of the newest that will do' },
  { name: 'immediate', type: 'boolean', doc: 'Recover to the end of the backup' },
  { name: 'latest', type: 'boolean', doc: 'Recover as far as there is archived WAL (the default)' },
  {
    name: 'timeline',
    type: 'string',
    doc: 'Timeline to recover along: its number, latest (the default) or current',
  },
  { name: 'to-lsn', type: 'string', doc: 'Recover to this LSN, e.g. 0/16B3748' },
  { name: 'to-name', type: 'string', doc: 'Recover to the restore point of this name' },
  {
    name: 'to-time',
    type: 'string',
    doc: 'Recover to this time, with its zone, e.g. "2026-11-22 14:28:09+00"',
  },
  { name: 'to-xid', type: 'string', doc: 'Recover to the end of this transaction' },
]

const TARGETS = ['to-time', 'to-lsn', 'to-name', 'to-xid', 'immediate', 'latest'] as const
const ACTIONS = ['promote', 'pause', 'shutdown'] as const

/** Reads the flags of a recovery. Throws USAGE, for two targets or two actions, too. */
export function readRecoveryChoice(flags: Flags): RecoveryChoice {
  const target = readTarget(flags)
  return {
    target,
    action: readAction(flags, target),
    timeline: readTimeline(flags['timeline']),
    isTimelineGiven: flags['timeline'] !== undefined,
    backupName: flags['backup'] === undefined ? null : String(flags['backup']),
  }
}

function readTarget(flags: Flags): RecoveryTarget {
  const name = onlyOne(flags, TARGETS) ?? 'latest'
  const text = String(flags[name] ?? '')
  switch (name) {
    case 'to-time':
      return { kind: 'time', timeUs: parseTimeTarget(text) }
    case 'to-lsn':
      return { kind: 'lsn', lsn: parseLsnTarget(text) }
    case 'to-name':
      return { kind: 'name', name: parseNameTarget(text) }
    case 'to-xid':
      return { kind: 'xid', xid: parseXidTarget(text) }
    default:
      return { kind: name }
  }
}

/** Without a word about it: what has no target ends by promotion anyway, what has one waits to be looked at. */
function readAction(flags: Flags, target: RecoveryTarget): RecoveryAction {
  const action = onlyOne(flags, ACTIONS)
  if (target.kind === 'latest' && action !== undefined && action !== 'promote') {
    throw new WalgError('USAGE', `--${action} needs a target: at the end of WAL PostgreSQL always promotes`, {
      hint: 'name a target, say --to-time, or --immediate',
    })
  }
  return action ?? (target.kind === 'latest' ? 'promote' : 'pause')
}

function readTimeline(value: Flags[string]): RecoveryChoice['timeline'] {
  const text = value === undefined ? 'latest' : String(value)
  if (text === 'latest' || text === 'current') return text
  const number = /^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(text) ? Number(text) : 0
  if (number >= 1 && number <= 0xffff_ffff) return toTimelineId(number)
  throw new WalgError('USAGE', `not a timeline: "${text}"`, {
    hint: 'a number from 1 on, latest, or current',
  })
}

function onlyOne<Name extends string>(flags: Flags, names: readonly Name[]): Name | undefined {
  const given = names.filter(name => flags[name] !== undefined && flags[name] !== false)
  if (given.length > 1) {
    throw new WalgError('USAGE', `only one of ${given.map(name => `--${name}`).join(', ')} can be given`)
  }
  return given[0]
}

/** A whole number of 1 to 65535. Throws USAGE. */
export function readPort(value: Flags[string]): number | undefined {
  if (value === undefined) return undefined
  const port = Number(value)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new WalgError('USAGE', `not a port: "${String(value)}"`)
}

/** `90s`, `1h`. Throws USAGE. */
export function readDuration(flags: Flags, name: string, defaultMs: number): number {
  const value = flags[name]
  if (value === undefined) return defaultMs
  try {
    return duration()(String(value))
  } catch (error) {
    throw new WalgError('USAGE', `--${name} is "${String(value)}"`, {
      cause: error,
      hint: 'it looks like 30m or 2h',
    })
  }
}
