import type { Progress } from '../../kit/progress.ts'
import { formatByteSize, formatDurationMs } from '../../kit/sizes.ts'
import { type LogSink, writeFully } from './log.ts'

const LINE_EVERY_MS = 30_000
const DRAW_EVERY_MS = 200
/** Short work draws no bar. */
const DRAW_AFTER_MS = 500
const STDERR = 2
const BAR_WIDTH_MAX = 24
const BAR_WIDTH_MIN = 6

export interface ProgressState {
  readonly label: string
  readonly doneBytes: number
  readonly totalBytes: number | undefined
  readonly elapsedMs: number
}

/** `label: 1.0 GiB of 4.0 GiB (25%), 256.0 MiB/s, 12s left`; what is not known is left out. */
export function formatProgress(state: ProgressState): string {
  const { label, doneBytes, totalBytes, elapsedMs } = state
  const bytesPerSecond = elapsedMs > 0 ? (doneBytes * 1000) / elapsedMs : 0
  const rate = `${formatByteSize(bytesPerSecond)}/s`
  if (totalBytes === undefined || totalBytes === 0) return `${label}: ${formatByteSize(doneBytes)}, ${rate}`
  const fraction = Math.min(1, doneBytes / totalBytes)
  const leftMs =
    bytesPerSecond > 0 ? (Math.max(0, totalBytes - doneBytes) / bytesPerSecond) * 1000 : undefined
  const left = leftMs === undefined ? '' : `, ${formatDurationMs(Math.ceil(leftMs / 1000) * 1000)} left`
  const share = `${Math.floor(fraction * 100)}%`
  return `${label}: ${formatByteSize(doneBytes)} of ${formatByteSize(totalBytes)} (${share}), ${rate}${left}`
}

/** The bar of a terminal, for the same state, at most `columns` wide; the numbers matter more than the bar. */
export function formatBar(state: ProgressState, columns: number): string {
  const text = formatProgress(state)
  if (state.totalBytes === undefined || state.totalBytes === 0) return text.slice(0, columns)
  const width = Math.min(BAR_WIDTH_MAX, columns - text.length - '[] '.length)
  if (width < BAR_WIDTH_MIN) return text.slice(0, columns)
  const full = Math.floor(Math.min(1, state.doneBytes / state.totalBytes) * width)
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}] ${text}`
}

/**
 * Progress on stderr: a bar when that is a terminal (`columnsOf` tells its width), else a log line every 30 s.
 * Nested `begin` calls are one span each; the innermost is shown.
 */
export function createProgress(sink: LogSink, columnsOf: () => number | undefined): Progress {
  interface Span {
    readonly label: string
    readonly totalBytes: number | undefined
    readonly beganMs: number
    doneBytes: number
  }
  const spans: Span[] = []
  let timer: ReturnType<typeof setInterval> | undefined
  let isDrawn = false
  let columns: number | undefined

  const state = (span: Span): ProgressState => ({ ...span, elapsedMs: performance.now() - span.beganMs })
  const erase = (): void => {
    if (isDrawn) writeFully(STDERR, '\r\x1b[K')
    isDrawn = false
  }
  const show = (): void => {
    const span = spans.at(-1)
    if (span === undefined) return
    const now = state(span)
    if (columns === undefined) sink.log.info(formatProgress(now))
    else if (now.elapsedMs >= DRAW_AFTER_MS) {
      writeFully(STDERR, `\r\x1b[K${formatBar(now, columns - 1)}`)
      isDrawn = true
    }
  }
  return {
    begin(label, totalBytes) {
      spans.push({ label, totalBytes, beganMs: performance.now(), doneBytes: 0 })
      if (timer !== undefined) return
      columns = columnsOf()
      if (columns !== undefined) sink.onLine.before = erase
      timer = setInterval(show, columns === undefined ? LINE_EVERY_MS : DRAW_EVERY_MS)
      timer.unref()
    },
    advance(bytes) {
      const span = spans.at(-1)
      if (span !== undefined) span.doneBytes += bytes
    },
    end() {
      spans.pop()
      if (spans.length > 0) return
      clearInterval(timer)
      timer = undefined
      erase()
    },
  }
}
