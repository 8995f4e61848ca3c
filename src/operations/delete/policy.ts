/** Which backups are worth keeping, as a person says it. What no rule keeps goes. */
export interface RetentionPolicy {
  /** The newest full backups, and everything since the oldest of them. */
  readonly fulls: number | null
  /** Everything that is younger. */
  readonly ageMs: number | null
  /** Recovery to any moment of this span: the newest backup that ended before it, and everything since. */
  readonly windowMs: number | null
  /** The newest backup of each of the last N hours (days, …) that have one, with the WAL it needs to be started. */
  readonly calendar: Readonly<Record<CalendarUnit, number>>
  /** JSON texts: backups with one of these user data, with the WAL they need to be started. */
  readonly userData: readonly string[]
}

export const CALENDAR_UNITS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const
export type CalendarUnit = (typeof CALENDAR_UNITS)[number]

const HOUR_NS = 3_600_000_000_000n
const DAY_NS = 24n * HOUR_NS
/** 1970-01-01 was a Thursday; weeks begin on Monday. */
const DAYS_BEFORE_FIRST_MONDAY = 3n

/** A policy without any rule would keep nothing but the newest backup: nobody means that. */
export function hasRules(policy: RetentionPolicy): boolean {
  return (
    policy.fulls !== null ||
    policy.ageMs !== null ||
    policy.windowMs !== null ||
    policy.userData.length > 0 ||
    CALENDAR_UNITS.some(unit => policy.calendar[unit] > 0)
  )
}

/** The hour (day, …) in UTC to which a moment belongs: larger is later, equal is the same. */
export function calendarPeriod(timeNs: bigint, unit: CalendarUnit): bigint {
  switch (unit) {
    case 'hourly':
      return timeNs / HOUR_NS
    case 'daily':
      return timeNs / DAY_NS
    case 'weekly':
      return (timeNs / DAY_NS + DAYS_BEFORE_FIRST_MONDAY) / 7n
    case 'monthly':
    case 'yearly': {
      const date = new Date(Number(timeNs / 1_000_000n))
      const year = date.getUTCFullYear()
      return BigInt(unit === 'yearly' ? year : year * 12 + date.getUTCMonth())
    }
  }
}
