import { describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WalgError } from '../../kit/errors.ts'
import { logError, logSettingProblems } from './error.ts'
import { FIRST_LOG_OPTIONS, formatLogTime, type LogOptions, type LogSink, openLog } from './log.ts'

function logged(options: Partial<LogOptions>, use: (sink: LogSink) => void): string {
  const directory = mkdtempSync(join(tmpdir(), 'wal-g-log-'))
  try {
    const destination = join(directory, 'log')
    use(openLog({ ...FIRST_LOG_OPTIONS, ...options, destination }))
    expect(statSync(destination).mode & 0o777).toBe(0o644)
    return readFileSync(destination, 'utf8')
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const withoutTimes = (text: string): string => text.replace(/^(\w+: )\S+ \S+ /gm, '$1')

function everyLevel({ log }: LogSink): void {
  log.debug('d')
  log.info('i')
  log.warning('w')
  log.error('e')
}

describe('log lines', () => {
  test('carry level, local time with microseconds, and message', () => {
    const lines = logged({}, sink => sink.log.info('hello'))
    expect(lines).toMatch(/^INFO: \d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} hello\n$/)
  })

  test('show the local time', () => {
    const date = new Date(2026, 10, 2, 3, 4, 5, 6)
    expect(formatLogTime(date.getTime() + 0.789)).toMatch(/^2026\/11\/02 03:04:05\.00678[89]$/)
  })

  test('appear by level: DEBUG only at DEVEL, nothing but ERROR at ERROR', () => {
    const shown = (level: LogOptions['level']): string => withoutTimes(logged({ level }, everyLevel))
    expect(shown('NORMAL')).toBe('INFO: i\nWARNING: w\nERROR: e\n')
    expect(shown('DEVEL')).toBe('DEBUG: d\nINFO: i\nWARNING: w\nERROR: e\n')
    expect(shown('ERROR')).toBe('ERROR: e\n')
  })

  test('are one JSON object each on request', () => {
    const lines = logged({ format: 'json' }, sink => {
      sink.log.info('two\nlines')
      logError(sink, new WalgError('OBJECT_NOT_FOUND', 'no x', { facts: { key: 'x', size: 2n ** 64n } }))
    })
    const [info, error] = lines.trim().split('\n').map(line => JSON.parse(line)) // biome-ignore format: one chain
    expect(info).toMatchObject({ level: 'INFO', message: 'two\nlines' })
    expect(info.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    expect(error).toMatchObject({
      level: 'ERROR',
      message: 'no x',
      code: 'OBJECT_NOT_FOUND',
      facts: { key: 'x', size: '18446744073709551616' },
    })
  })

  test('never hold a secret, in either format and in facts', () => {
    const redact = (text: string): string => text.replaceAll('hunter2', '***')
    for (const format of ['text', 'json'] as const) {
      const lines = logged({ format, redact, level: 'DEVEL' }, sink => {
        sink.log.info('password hunter2')
        const cause = new Error('login with hunter2 failed')
        logError(sink, new WalgError('ACCESS_DENIED', 'hunter2', { cause, facts: { url: 'hunter2' } }))
      })
      expect(lines).not.toContain('hunter2')
    }
  })

  test('a destination that cannot be opened is an error that names it', () => {
    expect(() => openLog({ ...FIRST_LOG_OPTIONS, destination: '/nonexistent/none/log' })).toThrow(
      '/nonexistent/none/log',
    )
  })
})

describe('an error', () => {
  const shown = (error: unknown): string => withoutTimes(logged({}, sink => logError(sink, error)))

  test('takes at most three lines: what, the deepest cause, what to do', () => {
    const deepest = new Error('certificate has expired\nand more')
    const middle = new WalgError('CLUSTER_UNREACHABLE', 'unable to connect', {
      cause: deepest,
      hint: 'renew it',
    })
    const top = new WalgError('CLUSTER_UNREACHABLE', 'no server answered', { cause: middle })
    expect(shown(top)).toBe(
      'ERROR: no server answered\n  cause: certificate has expired and more\n  hint: renew it\n',
    )
  })

  test('does not repeat as a cause what it says itself', () => {
    const system = Object.assign(new Error("ENOENT: no such file or directory, open '/x'"), {
      code: 'ENOENT',
    })
    const error = new WalgError('FILE_NOT_FOUND', 'unable to read "/x": no such file or directory', {
      cause: system,
    })
    expect(shown(error)).toBe('ERROR: unable to read "/x": no such file or directory\n')
  })

  test('of several shows the first and counts the others', () => {
    const several = new AggregateError([new WalgError('TIMEOUT', 'slow'), new Error('x'), new Error('y')])
    expect(shown(several)).toBe('ERROR: slow (and 2 more)\n')
  })

  test('that nobody foresaw is called internal and shows its stack', () => {
    const lines = shown(new TypeError('x is not a function'))
    expect(lines).toStartWith('ERROR: internal error: x is not a function\n  hint: ')
    expect(lines).toContain('log.test.ts')
    expect(shown('just text')).toStartWith('ERROR: internal error: just text\n')
  })

  test('shows its stack and those of its causes at DEVEL only', () => {
    const error = new WalgError('TIMEOUT', 'slow', { cause: new Error('below') })
    expect(shown(error)).not.toContain('log.test.ts')
    const lines = logged({ level: 'DEVEL' }, sink => logError(sink, error))
    expect(lines.match(/log\.test\.ts/g)?.length).toBeGreaterThanOrEqual(2)
  })

  test('of the settings is one line each, with its hint', () => {
    const lines = logged({}, sink =>
      logSettingProblems(sink, [
        { code: 'SETTING_INVALID', names: ['A'], message: 'A is wrong' },
        { code: 'NOT_AVAILABLE', names: ['B'], message: 'B is not there', hint: 'leave it' },
      ]),
    )
    expect(withoutTimes(lines)).toBe('ERROR: A is wrong\nERROR: B is not there\n  hint: leave it\n')
  })
})
