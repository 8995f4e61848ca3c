import path from 'node:path'
import { silentLogger } from '../../kit/log.ts'
import type { ConnectionSettings } from '../../postgres/cluster/cluster.ts'
import { connectCluster } from '../../postgres/cluster/connect.ts'
import type { OperationContext } from '../context.ts'
import { Examination, type Finding } from './examination.ts'
import { examineFiles, examineRoom, type SecretFile } from './examine-files.ts'
import { examineRepository } from './examine-repository.ts'
import { examineServer } from './examine-server.ts'
import { examineStorage } from './examine-storage.ts'

export interface DoctorOptions {
  /** Null: the server is not looked at. */
  readonly connection: ConnectionSettings | null
  readonly segmentBytes: number
  readonly blockBytes: number
  readonly backupAgeMsMax: number
  readonly files: readonly SecretFile[]
  /** Directory of a repository on a file system. */
  readonly repositoryDirectory: string | undefined
}

export interface DoctorReport {
  readonly findings: readonly Finding[]
}

/** What a doctor is given; the storage is opened by a function, for that may be what fails. */
export type DoctorContext = Pick<OperationContext, 'codec' | 'signal'> & {
  openStorage(): Promise<OperationContext['storage']>
}

/** Looks at everything a backup and a recovery depend on. Throws only when interrupted. */
export async function doctor(context: DoctorContext, options: DoctorOptions): Promise<DoctorReport> {
  const examination = new Examination(context.signal)
  examineFiles(examination, options.files)
  const { newest, archive } = (await lookAtStorage(examination, context, options)) ?? {}
  if (options.repositoryDirectory !== undefined) {
    examineRoom(examination, 'the repository in', options.repositoryDirectory)
  }
  const { connection, segmentBytes, blockBytes } = options
  if (connection !== null) {
    await examination.check('server', 'the server cannot be reached', async () => {
      await using cluster = await connectCluster(connection, { log: silentLogger, signal: context.signal })
      const expected = { segmentBytes, blockBytes, newest, archive }
      const facts = await examineServer(examination, cluster, expected)
      if (facts !== undefined) {
        examineRoom(examination, 'WAL of the server in', path.join(facts.dataDirectory, 'pg_wal'))
      }
    })
  }
  return { findings: examination.findings }
}

async function lookAtStorage(examination: Examination, context: DoctorContext, options: DoctorOptions) {
  const storage = await examination.check('storage', 'the storage does not answer', () =>
    context.openStorage(),
  )
  if (storage === undefined) return undefined
  const opened = { ...context, storage }
  await examineStorage(examination, opened)
  return examineRepository(examination, opened, options.backupAgeMsMax)
}
