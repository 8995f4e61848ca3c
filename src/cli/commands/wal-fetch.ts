import { dirname, resolve } from 'node:path'
import { openCodec } from '../../codec/open-codec.ts'
import { needsPrefetch } from '../../operations/wal-fetch/prefetch-plan.ts'
import { isSegmentName } from '../../postgres/wal-segment.ts'
import { TARGET_STORAGE_FLAG } from '../arguments.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { isRecoveringForGood } from '../exit-code.ts'

export const command: CommandDefinition = {
  name: 'wal-fetch',
  usage: 'wal-fetch wal_name destination_filename',
  summary: 'Fetches a WAL file from storage',
  positionals: { kind: 'exact', count: 2 },
  flags: [TARGET_STORAGE_FLAG],
  needsStorage: true,
  isWalTraffic: true,
  opensPayloads: true,
  async run(invocation: Invocation): Promise<number> {
    const { walFetch } = await import('../../operations/wal-fetch/wal-fetch.ts')
    const [name = '', destination = ''] = invocation.positionals
    const storage = await invocation.openStorage({ isProved: true })
    try {
      const { settings, positionals } = invocation
      const server = { positionals, workingDirectory: process.cwd(), pgdata: settings.PGDATA }
      await walFetch(
        { ...invocation, storage, codec: openCodec(invocation.codecDescription) },
        {
          name,
          destination,
          prefetchDirectory: settings.WALG_PREFETCH_DIR,
          holesOfSegmentBytes: isRecoveringForGood(server)
            ? settings.WALG_PG_WAL_SIZE * 1024 * 1024
            : undefined,
        },
      )
      if (settings.WALG_DOWNLOAD_CONCURRENCY > 1) await startPrefetch(invocation, name, destination)
    } finally {
      await storage.close()
    }
    return 0
  },
}

/**
 * Starts a process of its own that reads ahead; recovery does not wait for it, and its failure is only that the
 * next fetch has nothing to take.
 */
async function startPrefetch(invocation: Invocation, name: string, destination: string): Promise<void> {
  const { program, settings, log } = invocation
  const location = resolve(destination)
  const plan = {
    name,
    depth: settings.WALG_DOWNLOAD_CONCURRENCY,
    segmentBytes: settings.WALG_PG_WAL_SIZE * 1024 * 1024,
  }
  if (!isSegmentName(name) || !needsPrefetch(settings.WALG_PREFETCH_DIR ?? dirname(location), plan)) return
  const { spawn } = await import('node:child_process')
  const child = spawn(
    program.executable,
    [...program.args, 'wal-prefetch', name, location, ...program.globalArgs],
    {
      detached: true,
      stdio: 'ignore',
    },
  )
  child.on('error', error => log.debug(`unable to start wal-prefetch: ${error.message}`))
  child.unref()
}
