import { join } from 'node:path'
import type { CodecDescription } from '../../codec/codec.ts'
import { openCodec } from '../../codec/open-codec.ts'
import { encodeError, type PlainError } from '../../kit/error-transport.ts'
import { broadcastNotice, type Logger, onNotice } from '../../kit/log.ts'
import { silentProgress } from '../../kit/progress.ts'
import type { WalMetadataMode } from '../../repository/wal-metadata.ts'
import type { StorageDescription } from '../../storage/description.ts'
import { isStorageTrouble } from '../../storage/failover/storage-trouble.ts'
import { openStorage } from '../../storage/open-storage.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { checkArchiveIdentity } from './guard/archive-identity.ts'
import { type Looks, openLooks, type Unseen } from './guard/looks.ts'
import { pushWalMetadata } from './wal-metadata-push.ts'
import { createWalPusher, type WalPusher } from './wal-pusher.ts'
import { openWalSource } from './wal-source.ts'

/** One file for a thread of `wal-push DIRECTORY`. */
export interface DirectoryTask {
  readonly directory: string
  readonly name: string
  /** false: the directory is somebody's copy; nothing is written into it. */
  readonly takesNotes: boolean
  readonly storage: StorageDescription
  readonly codec: CodecDescription
  readonly preventOverwrite: boolean
  readonly elsewhere: readonly StorageDescription[]
  readonly requireSystemIdentifier: boolean
  readonly metadata: WalMetadataMode
}

export interface DirectoryTaskResult {
  readonly name: string
  readonly kind?: 'stored' | 'already-archived'
  readonly error?: PlainError
  /** What this thread was not let look at so far. */
  readonly unseen: readonly Unseen[]
  readonly messages: readonly { readonly level: keyof Logger; readonly message: string }[]
}

let opened:
  | { readonly context: OperationContext; readonly pusher: WalPusher; readonly looks: Looks }
  | undefined
let messages: { level: keyof Logger; message: string }[] = []

async function openOnce(task: DirectoryTask): Promise<NonNullable<typeof opened>> {
  if (opened !== undefined) return opened
  const note = (level: keyof Logger) => (message: string) => void messages.push({ level, message })
  const context: OperationContext = {
    storage: await openStorage(task.storage),
    storageDescription: task.storage,
    codec: openCodec(task.codec),
    codecDescription: task.codec,
    log: { debug: note('debug'), info: note('info'), warning: note('warning'), error: note('error') },
    progress: silentProgress,
    signal: new AbortController().signal,
  }
  let others: Promise<readonly Storage[]> | undefined
  const looks = openLooks({ areNeeded: task.preventOverwrite })
  const pusher = createWalPusher(context, {
    preventOverwrite: task.preventOverwrite,
    looks,
    elsewhere: () => (others ??= openElsewhere(context, task.elsewhere)),
    records: undefined,
    inspect: source =>
      checkArchiveIdentity(context, source, {
        walDirectory: task.takesNotes ? task.directory : undefined,
        isRequired: task.requireSystemIdentifier,
        looks,
      }),
  })
  opened = { context, pusher, looks }
  return opened
}

/** One that answered a moment ago, and does not now, is only not compared with. */
async function openElsewhere(
  { log }: OperationContext,
  descriptions: readonly StorageDescription[],
): Promise<readonly Storage[]> {
  const storages: Storage[] = []
  for (const description of descriptions) {
    try {
      storages.push(await openStorage(description))
    } catch (error) {
      if (!isStorageTrouble(error)) throw error
      log.warning(`storage "${description.name}" is not compared with: ${error.message}`)
    }
  }
  return storages
}

const unseenHere = (): readonly Unseen[] => opened?.looks.unseen() ?? []

async function pushTask(task: DirectoryTask): Promise<DirectoryTaskResult> {
  messages = []
  try {
    const { context, pusher } = await openOnce(task)
    const path = join(task.directory, task.name)
    const { kind } = await pusher.push(path)
    const source = openWalSource(path)
    source.close()
    await pushWalMetadata(context, source, {
      mode: task.metadata,
      walDirectory: task.takesNotes ? task.directory : undefined,
    })
    return { name: task.name, kind, messages, unseen: unseenHere() }
  } catch (error) {
    return { name: task.name, error: encodeError(error), messages, unseen: unseenHere() }
  }
}

declare const self: {
  onmessage: ((event: MessageEvent<DirectoryTask>) => void) | null
  postMessage(result: DirectoryTaskResult): void
}

onNotice(broadcastNotice)
self.onmessage = (event): void => {
  void pushTask(event.data).then(result => self.postMessage(result))
}
