import { type JsonValue, writeJson } from '../../kit/json.ts'
import { civilTime, formatTimestamp, localTimestampFromNs, ZERO_TIME } from '../../kit/timestamp.ts'
import type { ListedItem } from '../../operations/storage-tools/folder-listing.ts'
import { zoneAbbreviation } from './zone-name.ts'

/** The lines of `st ls` and `st stat`: a heading, then one row for each item, with the blanks of the original. */
export function formatItems(items: readonly ListedItem[]): string {
  const rows = items.map(({ kind, name, sizeBytes, modifiedNs, version }) => [
    kind === 'object' ? 'obj' : 'dir',
    String(sizeBytes),
    goTime(modifiedNs),
    kind === 'object' ? name : `${name}/`,
    version?.id ?? '',
    version === undefined ? '' : versionWords(version),
  ])
  const head = ['type', 'size', 'last modified', 'name']
  const widths = [0, 1, 2].map(column => widest([head, ...rows].map(row => row[column]!)))
  const nameWidth = widest(rows.map(row => row[3]!))
  const versionWidth = widest(rows.map(row => row[4]!))
  const line = (row: readonly string[]): string =>
    widths.map((width, column) => `${padEnd(row[column]!, width)} `).join('')
  const lines = rows.map(
    row => `${line(row)}${padEnd(row[3]!, nameWidth)} ${padEnd(row[4]!, versionWidth)} ${row[5]}\n`,
  )
  return `${line(head)}${head[3]}\n${lines.join('')}`
}

/** One item as `--json` prints it. */
export function itemJson(item: ListedItem, storage: string): Readonly<Record<string, JsonValue>> {
  const { kind, name, sizeBytes, modifiedNs, version } = item
  return {
    type: kind === 'object' ? 'obj' : 'dir',
    name,
    size: sizeBytes,
    ...(version === undefined
      ? {}
      : { version_id: version.id, is_latest: version.isLatest, is_deleted: version.isDeleted }),
    last_modified: modifiedNs === undefined ? null : formatTimestamp(localTimestampFromNs(modifiedNs)),
    storage,
  }
}

export function formatItemsJson(items: readonly ListedItem[], storage: string): string {
  return writeJson(items.map(item => itemJson(item, storage)))
}

/** `2006-01-02 15:04:05.999999999 +0000 UTC`, as Go prints a time by default. */
function goTime(ns: bigint | undefined): string {
  const time = ns === undefined ? ZERO_TIME : localTimestampFromNs(ns)
  const [year, month, day, hour, minute, second] = civilTime(time)
  const fraction = time.nanos === 0 ? '' : `.${String(time.nanos).padStart(9, '0').replace(/0+$/, '')}`
  const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`
  const offset = Math.abs(time.offsetMinutes)
  const zone = `${time.offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(offset / 60))}${two(offset % 60)}`
  return `${date} ${two(hour)}:${two(minute)}:${two(second)}${fraction} ${zone} ${zoneAbbreviation(time)}`
}

function versionWords({ isLatest, isDeleted }: NonNullable<ListedItem['version']>): string {
  return [...(isLatest ? ['LATEST'] : []), ...(isDeleted ? ['DELETE'] : [])].join(' ')
}

function widest(cells: readonly string[]): number {
  return cells.reduce((width, cell) => Math.max(width, [...cell].length), 0)
}

function padEnd(cell: string, width: number): string {
  return cell + ' '.repeat(width - [...cell].length)
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
