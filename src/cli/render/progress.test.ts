import { describe, expect, test } from 'bun:test'
import { formatBar, formatProgress } from './progress.ts'

const MIB = 1024 * 1024
const half = { label: 'backup-push', doneBytes: 512 * MIB, totalBytes: 1024 * MIB, elapsedMs: 2000 }

describe('progress', () => {
  test('tells bytes, share, rate and time left', () => {
    expect(formatProgress(half)).toBe('backup-push: 512.0 MiB of 1.0 GiB (50%), 256.0 MiB/s, 2s left')
  })

  test('leaves out what is not known', () => {
    expect(formatProgress({ ...half, totalBytes: undefined })).toBe('backup-push: 512.0 MiB, 256.0 MiB/s')
    expect(formatProgress({ ...half, doneBytes: 0, elapsedMs: 0 })).toBe(
      'backup-push: 0 B of 1.0 GiB (0%), 0 B/s',
    )
  })

  test('never shows more than all, when an estimate was too low', () => {
    expect(formatProgress({ ...half, doneBytes: 2048 * MIB })).toContain('(100%), 1.0 GiB/s, 0s left')
  })

  test('is a bar that fits the terminal', () => {
    expect(formatBar(half, 200)).toStartWith('[############............] backup-push: ')
    expect(formatBar(half, 80)).toMatch(/^\[#+\.+\] backup-push: .* 2s left$/)
    expect(formatBar(half, 80).length).toBeLessThanOrEqual(80)
    expect(formatBar(half, 30)).toHaveLength(30)
  })
})
