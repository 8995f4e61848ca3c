import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type GcsServer, startGcsServer } from '../../doubles/gcs-server/gcs-server.ts'
import { extractRepository, readGoldenSets } from '../../golden/golden-cases.ts'
import type { Finished } from '../../support/process.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../../support/servers/swift-server.ts'
import { describeUnless, missingInterop } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, startWalg } from '../../support/walg.ts'

setDefaultTimeout(180_000)

const SET = 'pg15-lz4-deltas'

describeUnless(
  missingInterop() ?? missingSwift(),
  'between a file system, S3 and Google Cloud Storage',
  () => {
    let swift: SwiftServer
    let gcs: GcsServer
    let place: TempDirectory
    beforeAll(async () => {
      swift = await startSwiftServer()
      gcs = await startGcsServer()
      place = tempDirectory('clouds')
      const set = readGoldenSets().find(({ name }) => name === SET)!
      extractRepository(set, place.at('source'))
      configure('source', { WALG_FILE_PREFIX: place.at('source') })
    })
    afterAll(async () => {
      await swift.stop()
      await gcs.close()
      place.remove()
    })

    const configure = (name: string, settings: Record<string, string>): string => {
      const file = place.at(`${name}.json`)
      writeFileSync(file, JSON.stringify(settings))
      return file
    }
    const s3 = async (bucket: string): Promise<Record<string, string>> => {
      return { ...swift.s3, WALG_S3_PREFIX: `s3://${await swift.createContainer(bucket)}/below` }
    }
    const google = (bucket: string): Record<string, string> => {
      gcs.buckets.create(bucket)
      return { WALG_GS_PREFIX: `gs://${bucket}/below`, STORAGE_EMULATOR_HOST: gcs.host }
    }
    const files = (name: string): string => {
      mkdirSync(place.at(name))
      return configure(name, { WALG_FILE_PREFIX: place.at(name) })
    }
    const copyArgs = (from: string, to: string): string[] => [
      'copy',
      '--from',
      from,
      '--to',
      to,
      '--with-history',
    ]
    const emulator = (): Record<string, string> => ({ STORAGE_EMULATOR_HOST: gcs.host })
    const copy = async (from: string, to: string): Promise<Finished> => {
      const finished = await runWalg(copyArgs(from, to), { env: emulator() })
      expect({ exit: finished.exit, stderr: finished.exit === 0 ? '' : finished.stderr }).toEqual({
        exit: 0,
        stderr: '',
      })
      return finished
    }

    test('a cluster goes from one to the next and comes back byte for byte', async () => {
      const inS3 = configure('s3', await s3('copied'))
      const inGoogle = configure('gcs', google('copied'))
      await copy(place.at('source.json'), inS3)
      await copy(inS3, inGoogle)
      await copy(inGoogle, files('back'))
      const before = contentOf(place.at('source'))
      const after = contentOf(place.at('back'))
      // What is older than the first backup's WAL is not part of it.
      delete before['wal_005/000000010000000000000001.lz4']
      expect(after).toEqual(before)
      expect((await copy(inS3, inGoogle)).stderr).not.toContain('Copied')
    })

    for (const target of ['files', 's3'] as const) {
      test(`a copy into ${target} that is killed shows no half backup, and is completed by the next`, async () => {
        const config = target === 'files' ? files('killed') : configure('killed-s3', await s3('killed'))
        const slow = { ...emulator(), WALG_NETWORK_RATE_LIMIT: '6000000' }
        const run = startWalg(copyArgs(place.at('source.json'), config), { env: slow })
        await untilTrue(() => run.stderr().includes('Copied'), 60_000, 'the first object')
        run.kill('SIGKILL')
        await run.finished
        const list = await runWalg(['backup-list', '--json', '--config', config])
        expect(JSON.parse(list.stdout)).toEqual([])
        await copy(place.at('source.json'), config)
        const { stdout } = await runWalg(['verify', '--all', '--config', config])
        expect(stdout).not.toContain('DAMAGED')
        const listed = await runWalg(['backup-list', '--json', '--config', config])
        expect(JSON.parse(listed.stdout)).toHaveLength(4)
      })
    }

    test('a transfer that is killed loses nothing, and is completed by the next', async () => {
      const set = readGoldenSets().find(({ name }) => name === SET)!
      extractRepository(set, place.at('moved'))
      const failover = { google: google('moved') }
      const config = configure('moved', { WALG_FILE_PREFIX: place.at('moved') })
      const env = {
        ...emulator(),
        HOME: place.path,
        WALG_FAILOVER_STORAGES: JSON.stringify(failover),
      }
      const args = [
        'st',
        'transfer',
        'backups',
        '--source',
        'default',
        '--target',
        'google',
        '--config',
        config,
      ]
      const run = startWalg(args, { env: { ...env, WALG_NETWORK_RATE_LIMIT: '2000000' } })
      await untilTrue(() => run.stderr().includes('Files will be transferred'), 60_000, 'the plan')
      await Bun.sleep(1000)
      run.kill('SIGKILL')
      await run.finished
      const names = async (): Promise<string[]> => {
        const { stdout } = await runWalg(['backup-list', '--json', '--config', config], { env })
        return JSON.parse(stdout).map((backup: { backup_name: string }) => backup.backup_name)
      }
      expect(new Set(await names()).size).toBe(4)
      expect((await runWalg(args, { env })).exit).toBe(0)
      const moved = await names()
      expect(moved).toHaveLength(4)
      expect(moved.at(-1)).toBe('base_000000010000000000000008')
      expect(readdirSync(place.at('moved')).filter(name => name.startsWith('basebackups'))).toEqual([])
    })

    test('an endpoint that refuses connections is failed over, and its mirror is filled when it is back', async () => {
      const bucket = await s3('failover')
      const failovers = JSON.stringify({ google: google('failover') })
      const dead = { ...bucket, AWS_ENDPOINT: 'http://127.0.0.1:1', S3_MAX_RETRIES: '0' }
      const common = { HOME: place.at('home'), WALG_FAILOVER_STORAGES: failovers, ...emulator() }
      mkdirSync(place.at('home'))
      const history = place.at('00000007.history')
      writeFileSync(history, 'x\n')
      const pushed = await runWalg(['wal-push', history], { env: { ...dead, ...common } })
      expect(pushed.stderr).toContain('Files will be uploaded to storage: google')
      expect(pushed.exit).toBe(0)
      const fetched = await runWalg(['wal-fetch', '00000007.history', place.at('seven')], {
        env: { ...bucket, ...common },
      })
      expect(fetched.exit).toBe(0)
      const absent = await runWalg(['wal-fetch', '00000008.history', place.at('eight')], {
        env: { ...dead, ...common },
      })
      expect(absent.exit).toBe(1)
      const mirrored = { ...bucket, ...common, WALG_MIRROR_STORAGES: 'google' }
      const second = place.at('00000009.history')
      writeFileSync(second, 'y\n')
      expect((await runWalg(['wal-push', second], { env: mirrored })).exit).toBe(0)
      for (const target of ['default', 'google']) {
        const { exit } = await runWalg(
          ['st', 'check', 'read', 'wal_005/00000009.history.lz4', '-t', target],
          {
            env: mirrored,
          },
        )
        expect({ target, exit }).toEqual({ target, exit: 0 })
      }
    })
  },
)

function contentOf(root: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => path.join(entry.parentPath, entry.name))
      .sort()
      .map(file => [path.relative(root, file), Bun.hash(readFileSync(file)).toString(16)]),
  )
}
