import { civilTime, formatTimestampSeconds, isZeroTime, type Timestamp } from '../../kit/timestamp.ts'
import { zoneAbbreviation } from './zone-name.ts'

const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** RFC 3339 with whole seconds, `-` for a time that is not known. */
export function formatPlainTime(time: Timestamp | null): string {
  return time === null || isZeroTime(time) ? '-' : formatTimestampSeconds(time)
}

/** RFC 850, e.g. `Sunday, 22-Nov-26 11:34:59 UTC`; `-` for none. */
export function formatPrettyTime(time: Timestamp | null): string {
  if (time === null || isZeroTime(time)) return '-'
  const [year, month, day, hour, minute, second, weekday] = civilTime(time)
  const date = `${two(day)}-${MONTHS[month - 1]}-${two(year % 100)}`
  return `${WEEKDAYS[weekday]}, ${date} ${two(hour)}:${two(minute)}:${two(second)} ${zoneAbbreviation(time)}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
