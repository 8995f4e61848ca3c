import { formatSetting, parseConfiguration } from './configuration-file.ts'
import { formatLsn } from './lsn.ts'
import { formatTimeTarget, type RecoveryAction, type RecoveryTarget } from './recovery-target.ts'
import type { TimelineId } from './wal-segment.ts'

export interface RecoveryRequest {
  /** With `%f` and `%p` in place. */
  readonly restoreCommand: string
  readonly target: RecoveryTarget
  readonly action: RecoveryAction
  readonly timeline: 'latest' | 'current' | TimelineId
  /** Archiving is switched off. */
  readonly isArchivingOff: boolean
}

/** All of which at most one may be set. */
const TARGETS = [
  'recovery_target',
  'recovery_target_time',
  'recovery_target_xid',
  'recovery_target_name',
  'recovery_target_lsn',
] as const

/**
 * What may be left of an earlier recovery, or of a standby, and would change this one: a delay, a command that removes
 * files of the archive, one that runs when recovery ends.
 */
const STALE = ['recovery_min_apply_delay', 'archive_cleanup_command', 'recovery_end_command'] as const

const COMMENT = '# written by wal-g restore'

/**
 * The settings of a recovery for PostgreSQL 13 to 18, in the order in which they must stand: what could be left
 * elsewhere is emptied first, for the server refuses a second target even when the first is about to be emptied.
 */
export function recoverySettings(request: RecoveryRequest): readonly (readonly [string, string])[] {
  const { target, restoreCommand, action, timeline, isArchivingOff } = request
  const [name, value] = targetSetting(target)
  return [
    ...TARGETS.filter(each => each !== name).map(each => [each, ''] as const),
    ['recovery_min_apply_delay', '0'],
    ['archive_cleanup_command', ''],
    ['recovery_end_command', ''],
    ['recovery_target_inclusive', 'on'],
    ['recovery_target_timeline', String(timeline)],
    ['recovery_target_action', action],
    ...(name === undefined ? [] : [[name, value] as const]),
    ['restore_command', restoreCommand],
    // without it a pause would be a shutdown
    ...(action === 'pause' && target.kind !== 'latest' ? [['hot_standby', 'on'] as const] : []),
    ...(isArchivingOff ? [['archive_mode', 'off'] as const] : []),
  ]
}

function targetSetting(target: RecoveryTarget): readonly [(typeof TARGETS)[number] | undefined, string] {
  switch (target.kind) {
    case 'latest':
      return [undefined, '']
    case 'immediate':
      return ['recovery_target', 'immediate']
    case 'time':
      return ['recovery_target_time', formatTimeTarget(target.timeUs)]
    case 'lsn':
      return ['recovery_target_lsn', formatLsn(target.lsn)]
    case 'name':
      return ['recovery_target_name', target.name]
    case 'xid':
      return ['recovery_target_xid', String(target.xid)]
  }
}

/**
 * postgresql.auto.conf with these settings at its end. Everything else in it stays; older lines of theirs, and of what
 * a recovery left, go.
 */
export function withSettings(autoConf: string, settings: readonly (readonly [string, string])[]): string {
  const replaced = new Set([...settings.map(([name]) => name), ...TARGETS, ...STALE])
  const gone = new Set(
    parseConfiguration(autoConf)
      .filter(({ name }) => replaced.has(name as (typeof TARGETS)[number]))
      .map(({ line }) => line),
  )
  const kept = autoConf.split('\n').filter((line, index) => !gone.has(index) && line !== COMMENT)
  while (kept.at(-1) === '') kept.pop()
  return `${[...kept, COMMENT, ...settings.map(([name, value]) => formatSetting(name, value))].join('\n')}\n`
}

/** A word of a shell command in which the server replaces `%f` and `%p`. */
export function quoteForCommand(text: string): string {
  const quoted = /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
  return quoted.replaceAll('%', '%%')
}
