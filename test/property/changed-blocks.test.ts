import { type Major, missingPostgres } from '../support/postgres-binaries.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { testUnless } from '../support/skip.ts'
import { playChanges } from './changed-blocks.ts'

// the others take their turn in test/long
for (const major of [13, 17] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: an old state with the blocks that WAL, _delta objects and summaries name is the new state, byte for byte`,
    () => playChanges(major, seededRandom(`changed ${major}`)),
    180_000,
  )
}
