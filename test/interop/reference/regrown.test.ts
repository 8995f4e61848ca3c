import { expect, test } from 'bun:test'
import { appendFileSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { startArchivingCluster } from '../../e2e/archiving-cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { succeed, type Tool } from './pair.ts'

const MAJORS: readonly Major[] = [15, 18]
const PAGE = 8192
const HOLE_PAGES = 6
const TIMEOUT_MS = 240_000
/** Who takes the full backup, the delta after the cut, and the one after the growth: the last one has to know. */
const CHAINS: readonly (readonly [Tool, Tool, Tool])[] = [
  ['ours', 'ours', 'ours'],
  ['ours', 'original', 'ours'],
  ['original', 'original', 'ours'],
]
const reason = missingReference() ?? missingPostgres(...MAJORS)

describeUnless(reason, 'a file that was cut and has grown again by zero pages', () => {
  for (const major of MAJORS) {
    for (const chain of CHAINS) {
      test(
        `PostgreSQL ${major}: is the same by every restore of a chain by ${chain.join(', ')}`,
        async () => {
          await using source = await startArchivingCluster({ major, settings: { autovacuum: 'off' } })
          const { cluster, place } = source
          const env = { ...source.settings, ...cluster.environment, WALG_DELTA_MAX_STEPS: '9' }
          const push = async (tool: Tool): Promise<void> => {
            await cluster.query('checkpoint')
            await succeed(tool, ['backup-push', cluster.dataDirectory], env)
          }
          await cluster.query(
            'create table t as select g as id, md5(g::text) from generate_series(1, 2000) g',
          )
          const [row] = await cluster.query<{ path: string }>(`select pg_relation_filepath('t') as path`)
          const file = path.join(cluster.dataDirectory, row!.path)
          await push(chain[0])
          await cluster.query('delete from t where id > 200')
          await cluster.query('vacuum (truncate on) t')
          await push(chain[1])
          await cluster.stop()
          appendFileSync(file, new Uint8Array(HOLE_PAGES * PAGE))
          await cluster.start()
          await cluster.query('insert into t select g, md5(g::text) from generate_series(1, 500) g')
          await push(chain[2])

          const now = readFileSync(file)
          for (const tool of ['ours', 'original'] as const) {
            for (const flags of [[], ['--reverse-unpack'], ['--reverse-unpack', '--skip-redundant-tars']]) {
              const target = place.at(`${tool}${flags.length}`)
              await succeed(tool, ['backup-fetch', target, 'LATEST', ...flags], env)
              const restored = readFileSync(path.join(target, row!.path))
              expect({ tool, flags, isSame: restored.equals(now) }).toEqual({ tool, flags, isSame: true })
            }
          }
        },
        TIMEOUT_MS,
      )
    }
  }
})
