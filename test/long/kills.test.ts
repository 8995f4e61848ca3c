// The tests of killed pushes and fetches with many more points than the fixed-seed tier has.
import { expect, test } from 'bun:test'

process.env['WALG_KILLS'] ??= '60'
await import('../hazard/killed-push.test.ts')
await import('../hazard/killed-fetch.test.ts')

test('the tests of killed commands ran with many points', () => {
  expect(Number(process.env['WALG_KILLS'])).toBeGreaterThan(12)
})
