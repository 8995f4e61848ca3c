import { PLAIN_RESTORE, playChains } from '../e2e/delta/delta-workload.ts'
import { playChanges } from '../property/changed-blocks.ts'
import { MAJORS, missingPostgres } from '../support/postgres-binaries.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { testUnless } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const TIMEOUT_MS = 1_800_000

for (const major of MAJORS) {
  for (let number = 1; number <= 3; number++) {
    testUnless(
      missingPostgres(major),
      `PostgreSQL ${major}: long chains of deltas over a random workload, number ${number}`,
      async () => {
        using place = tempDirectory('delta-workload')
        const random = seededRandom(`long chains ${major} ${number}`)
        await playChains({ major, random, place, steps: 6, modes: [PLAIN_RESTORE] })
      },
      TIMEOUT_MS,
    )
    testUnless(
      missingPostgres(major),
      `PostgreSQL ${major}: the blocks that WAL names are those that changed, number ${number}`,
      () => playChanges(major, seededRandom(`long changes ${major} ${number}`)),
      TIMEOUT_MS,
    )
  }
}
