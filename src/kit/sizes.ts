/** Sizes and durations as people write and read them. */

export const KIB = 1024
export const MIB: number = 1024 * KIB
export const GIB: number = 1024 * MIB

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: KIB,
  kb: KIB,
  m: MIB,
  mb: MIB,
  g: GIB,
  gb: GIB,
}

/** Bytes of `1048576`, `64k`, `20mb`, `1GB` (powers of 1024); throws what was expected. */
export function parseByteSize(text: string): number {
  const match = /^(\d+)\s*([a-z]*)$/i.exec(text.trim())
  const unit = SIZE_UNITS[match?.[2]?.toLowerCase() ?? '?']
  const bytes = Number(match?.[1]) * (unit ?? Number.NaN)
  if (!Number.isSafeInteger(bytes))
    throw new Error('a number of bytes, with k, m or g if you like, e.g. 512m')
  return bytes
}

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds of a duration such as `90s`, `1m30s`, `1.5h`, `250ms` or `0`; throws what was expected. */
export function parseDurationMs(text: string): number {
  const trimmed = text.trim()
  if (/^[+]?0+$/.test(trimmed)) return 0
  if (!/^(\d+(\.\d*)?(ns|us|µs|μs|ms|s|m|h))+$/.test(trimmed)) {
    throw new Error('a duration with its unit, e.g. 90s, 1m30s or 1h, or 0')
  }
  let ms = 0
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|μs|ms|s|m|h)/g)) {
    ms += Number(amount) * (DURATION_UNITS_MS[unit ?? ''] ?? Number.NaN)
  }
  return ms
}

const PERIOD_UNITS_MS: Readonly<Record<string, number>> = {
  w: 7 * 24 * 3_600_000,
  d: 24 * 3_600_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
}

/** Milliseconds of a long span such as `14d`, `2w`, `36h` or `1d12h`; throws what was expected. */
export function parsePeriodMs(text: string): number {
  const trimmed = text.trim()
  if (!/^(\d{1,9}[wdhms])+$/.test(trimmed)) throw new Error('a span with its unit, e.g. 14d, 2w or 36h')
  const parts = [...trimmed.matchAll(/(\d+)([wdhms])/g)]
  return parts.reduce((sum, [, amount, unit = '']) => sum + Number(amount) * PERIOD_UNITS_MS[unit]!, 0)
}

/** `0 B`, `512 B`, `1.5 KiB`, `20.0 MiB`, `1.2 TiB`. */
export function formatByteSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let at = 0
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024
    at += 1
  }
  return `${at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`
}

/** `0s`, `250ms`, `1.5s`, `1m30s`, `2h5m`: the shortest exact-enough form, readable by `parseDurationMs`. */
export function formatDurationMs(ms: number): string {
  if (ms === 0) return '0s'
  if (ms < 1000) return `${Number(ms.toFixed(3))}ms`
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(3))}s`
  const seconds = Math.round(ms / 1000)
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  const rest = seconds % 60
  return `${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes}m` : ''}${rest > 0 ? `${rest}s` : ''}`
}
