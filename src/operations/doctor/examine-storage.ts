import { randomHex } from '../../kit/atomic-file.ts'
import { collect, streamOf } from '../../kit/bytes.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { formatDurationMs } from '../../kit/sizes.ts'
import { nowNs } from '../../kit/timestamp.ts'
import { STORAGE_CHECK_KEY } from '../../repository/layout.ts'
import type { OperationContext } from '../context.ts'
import type { Examination } from './examination.ts'

const PROBE_BYTES = 4096
const CLOCK_MS_MAX = 60_000

/** Puts, lists, reads and deletes one object of our own; compares the clocks; opens what it seals. */
export async function examineStorage(
  examination: Examination,
  context: Pick<OperationContext, 'storage' | 'codec' | 'signal'>,
): Promise<void> {
  const { storage, codec, signal } = context
  const key = `${STORAGE_CHECK_KEY}_${randomHex()}`
  const content = crypto.getRandomValues(new Uint8Array(PROBE_BYTES))
  await examination.check('storage', 'an object cannot be written and removed', async () => {
    const beganNs = nowNs()
    await storage.put(key, codec.sealStream('wal')(streamOf(content)), { signal })
    try {
      await readBack(examination, context, key, content)
      await compareClocks(examination, context, key, beganNs)
      await examineCondition(examination, context, key)
    } finally {
      await storage.delete([key], { signal })
    }
    const isLeft = await exists(context, key)
    if (isLeft) throw new WalgError('ACCESS_DENIED', `"${key}" is still there after it was deleted`)
    examination.note(
      'storage',
      'ok',
      `storage "${storage.name}": writing, listing, reading and deleting work`,
    )
  })
}

async function readBack(
  examination: Examination,
  { storage, codec, signal }: Pick<OperationContext, 'storage' | 'codec' | 'signal'>,
  key: string,
  content: Uint8Array,
): Promise<void> {
  let isListed = false
  for await (const entry of storage.list('', { signal })) isListed ||= entry.key === key
  if (!isListed) examination.note('storage', 'failure', `"${key}" was written, but is not listed`)
  const opened = codec.openStream(codec.extension)(await storage.get(key, { signal }))
  const bytes = await collect(opened, 2 * PROBE_BYTES)
  if (Buffer.compare(bytes, content) !== 0) {
    throw new WalgError('INTEGRITY', `"${key}" has another content than was written`)
  }
  const how = codec.hasKeys ? 'encrypted; the key opens what it seals' : 'not encrypted'
  examination.note('keys', codec.hasKeys ? 'ok' : 'note', `what is stored is ${how}`)
}

/**
 * Two pushes of one name at the same moment are only told apart by a put that the storage itself refuses. There are stores that accept
 * the condition and do not heed it: nothing but a put onto an object that is there shows that.
 */
async function examineCondition(
  examination: Examination,
  { storage, signal }: Pick<OperationContext, 'storage' | 'signal'>,
  key: string,
): Promise<void> {
  const advice = 'never let two servers archive to the same place at the same time'
  if (storage.features.conditionalPut) {
    try {
      await storage.put(key, streamOf(new Uint8Array(1)), { ifAbsent: true, signal })
      examination.note(
        'storage',
        'warning',
        `storage "${storage.name}" replaces objects that it was told to keep: two pushes of one WAL file at the same moment can overwrite each other`,
        advice,
      )
      return
    } catch (error) {
      if (hasCode(error, 'OBJECT_EXISTS')) return
      if (!hasCode(error, 'FORMAT_UNSUPPORTED')) throw error
    }
  }
  examination.note(
    'storage',
    'note',
    `storage "${storage.name}" has no put that keeps what is there: wal-push looks first, and two pushes of one WAL file at the same moment are not told apart; ${advice}`,
  )
}

async function compareClocks(
  examination: Examination,
  { storage, signal }: Pick<OperationContext, 'storage' | 'signal'>,
  key: string,
  beganNs: bigint,
): Promise<void> {
  const { modifiedNs } = await storage.stat(key, { signal })
  const earlyMs = Number(beganNs - modifiedNs) / 1e6
  const lateMs = Number(modifiedNs - nowNs()) / 1e6
  const offMs = Math.max(earlyMs, lateMs)
  if (offMs <= CLOCK_MS_MAX) return
  examination.note(
    'storage',
    'warning',
    `the clocks of this host and of the storage differ by ${formatDurationMs(Math.round(offMs))}`,
    'synchronise them (NTP): retention and LATEST go by these times',
  )
}

async function exists(
  { storage, signal }: Pick<OperationContext, 'storage' | 'signal'>,
  key: string,
): Promise<boolean> {
  try {
    await storage.stat(key, { signal })
    return true
  } catch (error) {
    if (error instanceof WalgError && error.code === 'OBJECT_NOT_FOUND') return false
    throw error
  }
}
