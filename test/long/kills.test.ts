// The tests of killed pushes and fetches with many more points than the fixed-seed tier has.
process.env['WALG_KILLS'] ??= '60'
await import('../hazard/killed-push.test.ts')
await import('../hazard/killed-fetch.test.ts')
