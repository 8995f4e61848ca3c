import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { PLAIN_RESTORE, playChains } from './delta-workload.ts'

for (const major of [15, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: deltas by every way of finding changed blocks restore to what a random workload had made`,
    async () => {
      using place = tempDirectory('delta-workload')
      await playChains({
        major,
        random: seededRandom(`chains ${major}`),
        place,
        steps: 2,
        modes: [PLAIN_RESTORE],
      })
    },
    300_000,
  )
}
