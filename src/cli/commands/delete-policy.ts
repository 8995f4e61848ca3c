import { WalgError } from '../../kit/errors.ts'
import {
  CALENDAR_UNITS,
  type CalendarUnit,
  hasRules,
  type RetentionPolicy,
} from '../../operations/delete/policy.ts'
import { policySettings } from '../../operations/delete/policy-settings.ts'
import type { DeleteRequest } from '../../operations/delete/request.ts'
import { usage } from '../arguments.ts'
import type { FlagDefinition, Invocation } from '../command.ts'
import { withOpened } from '../opened-storages.ts'
import type { Settings } from '../settings.ts'
import type { DeleteArguments } from './delete-arguments.ts'
import { planOptionsOf } from './delete-arguments.ts'

export const POLICY_FLAGS: readonly FlagDefinition[] = [
  { name: 'keep-full', type: 'string', doc: 'Keep so many full backups, and everything since' },
  { name: 'keep-age', type: 'string', doc: 'Keep every backup that is younger, e.g. 14d' },
  { name: 'keep-window', type: 'string', doc: 'Keep recovery to any moment of this span possible, e.g. 7d' },
  ...CALENDAR_UNITS.map(unit => ({
    name: `keep-${unit}`,
    type: 'string' as const,
    doc: `Keep so many ${unit} backups`,
  })),
  { name: 'keep-user-data', type: 'string', doc: 'Keep backups with these user data' },
]

/** The policy of the flags, each of which replaces its setting; without settings the flags alone are checked. */
export function readPolicy({ flags }: DeleteArguments, settings?: Settings): DeleteRequest {
  const read = <T extends number>(flag: string, name: PolicyNumber): T | null => {
    const text = flags[flag]
    if (typeof text !== 'string' || text === '') return (settings?.[name] as T | undefined) ?? null
    return parsed(`--${flag}`, text, policySettings[name].parse) as T
  }
  const count = (unit: CalendarUnit): number =>
    read(`keep-${unit}`, `WALG_POLICY_KEEP_${unit.toUpperCase() as Uppercase<CalendarUnit>}`) ?? 0
  const given = flags['keep-user-data']
  const isGiven = typeof given === 'string' && given !== ''
  const userData = isGiven
    ? parsed('--keep-user-data', given, policySettings.WALG_POLICY_KEEP_USER_DATA.parse)
    : settings?.WALG_POLICY_KEEP_USER_DATA
  const policy: RetentionPolicy = {
    fulls: read('keep-full', 'WALG_POLICY_KEEP_FULL'),
    ageMs: read('keep-age', 'WALG_POLICY_KEEP_AGE'),
    windowMs: read('keep-window', 'WALG_POLICY_KEEP_WINDOW'),
    calendar: {
      hourly: count('hourly'),
      daily: count('daily'),
      weekly: count('weekly'),
      monthly: count('monthly'),
      yearly: count('yearly'),
    },
    userData: userData === undefined ? [] : [userData],
  }
  if (settings !== undefined && !hasRules(policy)) throw withoutRules()
  return { kind: 'policy', policy }
}

/** Deletes what the policy does not keep, right after a push; a failure says that the backup itself is complete. */
export async function applyPolicy(invocation: Invocation, request: DeleteRequest): Promise<void> {
  const { deleteObjects } = await import('../../operations/delete/delete.ts')
  invocation.log.info('Applying the retention policy')
  try {
    await withOpened(await invocation.openForDelete(), ({ first, others }) =>
      deleteObjects(
        { ...invocation, storage: first.storage, otherStorages: others.map(({ storage }) => storage) },
        { request, isConfirmed: true, ...planOptionsOf(invocation) },
      ),
    )
  } catch (error) {
    invocation.log.error('The backup is complete, but the retention policy could not be applied:')
    throw error
  }
}

type PolicyNumber = Exclude<keyof typeof policySettings, 'WALG_POLICY_KEEP_USER_DATA'>

function parsed<T>(flag: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (error) {
    throw usage(
      `${flag}: expected ${error instanceof Error ? error.message : String(error)}, but got '${text}'`,
    )
  }
}

function withoutRules(): WalgError {
  return new WalgError('SETTING_MISSING', 'there is no retention policy: nothing says what to keep', {
    hint: 'set WALG_POLICY_KEEP_FULL, WALG_POLICY_KEEP_WINDOW or another WALG_POLICY_KEEP_… setting, or give --keep-full N',
  })
}
