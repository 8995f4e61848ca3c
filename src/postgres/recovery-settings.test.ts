import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { formatSetting, parseConfiguration, settingOf } from './configuration-file.ts'
import { quoteForCommand, recoverySettings, withSettings } from './recovery-settings.ts'

const seed = Number(process.env['SEED'] ?? 20261122)
const request = {
  restoreCommand: 'wal-g wal-fetch %f %p',
  target: { kind: 'name', name: "it's" },
  action: 'pause',
  timeline: 'latest',
  isArchivingOff: true,
} as const

describe('postgresql.auto.conf of a restored directory', () => {
  test('keeps what it had, and loses the targets of an older recovery', () => {
    const old = [
      "work_mem = '64MB'",
      "recovery_target_time = '2020-01-01'",
      "restore_command = 'cp /old/%f %p'",
      'recovery_min_apply_delay = 5h',
      "archive_cleanup_command = 'rm -rf'",
    ].join('\n')
    const text = withSettings(old, recoverySettings(request))
    const lines = parseConfiguration(text)
    expect(settingOf(lines, 'work_mem')).toBe('64MB')
    expect(settingOf(lines, 'recovery_target_time')).toBe('')
    expect(settingOf(lines, 'recovery_target_name')).toBe("it's")
    expect(settingOf(lines, 'recovery_min_apply_delay')).toBe('0')
    expect(settingOf(lines, 'archive_cleanup_command')).toBe('')
    expect(settingOf(lines, 'restore_command')).toBe('wal-g wal-fetch %f %p')
    expect(settingOf(lines, 'archive_mode')).toBe('off')
    for (const { name } of lines) expect(lines.filter(line => line.name === name)).toHaveLength(1)
  })

  test('empties the other targets before it sets the one: the server refuses two even for a moment', () => {
    const names = recoverySettings(request).map(([name]) => name)
    const at = names.indexOf('recovery_target_name')
    for (const other of [
      'recovery_target',
      'recovery_target_time',
      'recovery_target_xid',
      'recovery_target_lsn',
    ]) {
      expect(names.indexOf(other)).toBeLessThan(at)
    }
  })

  test('is the same when it is written twice', () => {
    const once = withSettings('a = 1\n', recoverySettings(request))
    expect(withSettings(once, recoverySettings(request))).toBe(once)
  })
})

describe('a line of configuration', () => {
  test(`is read as it was meant (SEED=${seed})`, () => {
    const value = fc.string().filter(text => !/[\n\r\0]/.test(text))
    fc.assert(
      fc.property(value, text => {
        const [line] = parseConfiguration(formatSetting('some_name', text))
        expect(line).toEqual({ name: 'some_name', value: text, line: 0 })
      }),
      { seed },
    )
  })

  test('may have no equals sign, a comment, or nothing to say', () => {
    expect(parseConfiguration("Port 5433 # why\n#port = 1\n\ninclude 'x.conf'\n")).toEqual([
      { name: 'port', value: '5433', line: 0 },
      { name: 'include', value: 'x.conf', line: 3 },
    ])
  })
})

test('a word of restore_command survives the shell and the percent signs of the server', () => {
  expect(quoteForCommand('/usr/bin/wal-g')).toBe('/usr/bin/wal-g')
  expect(quoteForCommand("/a b/it's 100%")).toBe(`'/a b/it'\\''s 100%%'`)
})
