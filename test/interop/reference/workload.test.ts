import { playChains, type RestoreMode } from '../../e2e/delta/delta-workload.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { missingReference, testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'

const MAJORS: readonly Major[] = [13, 16, 18]
const REVERSE = '--reverse-unpack'
const MODES: readonly RestoreMode[] = [
  { tool: 'original', flags: [] },
  { tool: 'original', flags: [REVERSE] },
  { tool: 'original', flags: [REVERSE, '--skip-redundant-tars'] },
]

for (const major of MAJORS) {
  testUnless(
    missingReference() ?? missingPostgres(major),
    `PostgreSQL ${major}: what a random workload had made comes back by every restore of the original`,
    async () => {
      using place = tempDirectory('reference-workload')
      await playChains({ major, random: seededRandom(`reference ${major}`), place, steps: 3, modes: MODES })
    },
    900_000,
  )
}
