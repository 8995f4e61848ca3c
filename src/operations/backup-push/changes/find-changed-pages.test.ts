import { describe, expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { changeWal } from '../../../../test/support/change-wal.ts'
import { operationContext } from '../../../../test/support/operation-context.ts'
import { seededRandom } from '../../../../test/support/seeded-random.ts'
import { tempDirectory } from '../../../../test/support/temp-directory.ts'
import type { WalgError } from '../../../kit/errors.ts'
import { toLsn } from '../../../postgres/lsn.ts'
import { toTimelineId } from '../../../postgres/wal-segment.ts'
import { type ChangesOptions, findChangedPages } from './find-changed-pages.ts'

const MIB = 1 << 20
const SEGMENTS = changeWal(seededRandom('find changes'), 30, 2)
const BEGIN = BigInt(30 * MIB) + 40n
const END = BigInt(31 * MIB) + 500_000n
const SUMMARY = `00000001${hex16(BEGIN)}${hex16(END)}.summary`

function hex16(lsn: bigint): string {
  return lsn.toString(16).toUpperCase().padStart(16, '0')
}

interface Case extends Partial<ChangesOptions> {
  readonly majorVersion?: number
  /** Content of the one summary that covers the range; undefined: there is none. */
  readonly summary?: string
  /** The WAL of the range lies in pg_wal. */
  readonly hasWal?: boolean
}

/** What is logged, or the error. */
async function said({ majorVersion = 17, summary, hasWal = false, ...changes }: Case): Promise<string> {
  using place = tempDirectory('find-changes')
  mkdirSync(place.at('pg_wal', 'summaries'), { recursive: true })
  mkdirSync(place.at('repository'))
  if (summary !== undefined) writeFileSync(place.at('pg_wal', 'summaries', SUMMARY), summary)
  for (const { name, bytes } of hasWal ? SEGMENTS : []) writeFileSync(place.at('pg_wal', name), bytes)
  const context = await operationContext(place.at('repository'))
  const options: ChangesOptions = {
    method: 'auto',
    usesWal: false,
    isForced: false,
    walSegmentBytes: MIB,
    walPageBytes: 8192,
    pageBytes: 8192,
    ...changes,
  }
  try {
    const pages = await findChangedPages(context, {
      options,
      range: { beginLsn: toLsn(BEGIN), endLsn: toLsn(END), timeline: toTimelineId(1), history: null },
      majorVersion,
      systemIdentifier: 7_300_000_000_000_000_001n,
      walDirectory: place.at('pg_wal'),
      dataBytes: 1 << 30,
      isSummarizing: async () => false,
    })
    expect(pages !== undefined).toBe(hasWal)
    return context.messages.join('\n')
  } catch (error) {
    return `${(error as WalgError).code}: ${(error as WalgError).message}`
  } finally {
    await context.storage.close()
  }
}

const DAMAGED = '?'.repeat(100)

describe('when only reading changed files can tell', () => {
  test('that is information when nobody has asked for another way', async () => {
    expect(await said({})).toMatch(/^INFO: Changed blocks are found by reading.*WAL summaries of timeline 1/)
    expect(await said({ majorVersion: 16 })).toMatch(/^INFO: .*PostgreSQL 16 has no WAL summaries/)
    expect(await said({ method: 'scan' })).toMatch(/^INFO: .*WALG_CHANGED_BLOCKS is scan/)
  })

  test('it is a WARNING when somebody has, or when a summary is damaged', async () => {
    const fallback = /^WARNING: Changed blocks are not known: .*Fallback to full scan/
    expect(await said({ usesWal: true })).toMatch(fallback)
    expect(await said({ method: 'summaries' })).toMatch(fallback)
    expect(await said({ summary: DAMAGED })).toMatch(fallback)
    expect(await said({ summary: DAMAGED })).toContain('is no WAL summary')
  })

  test('it fails with WALG_FORCE_WAL_DELTA, whatever the reason and the way', async () => {
    const cases: Case[] = [
      {},
      { majorVersion: 16 },
      { summary: DAMAGED },
      { usesWal: true },
      { method: 'summaries' },
      { method: 'wal' },
      { method: 'scan' },
    ]
    for (const one of cases) {
      const text = await said({ ...one, isForced: true })
      expect([one, text]).toEqual([
        one,
        expect.stringMatching(/^DELTA_BASE_INVALID: Failed to load delta map/),
      ])
    }
  })
})

test('a damaged summary is said when the WAL is read instead', async () => {
  const known = /^INFO: Changed blocks from .* are known from .* 2 segments of pg_wal$/
  expect(await said({ usesWal: true, hasWal: true })).toMatch(known)
  const lines = (await said({ usesWal: true, hasWal: true, summary: DAMAGED })).split('\n')
  expect(lines).toEqual([
    expect.stringMatching(/^WARNING: .*is no WAL summary$/),
    expect.stringMatching(known),
  ])
})
