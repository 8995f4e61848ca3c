import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { BackupName } from '../../../repository/backup-name.ts'
import { backupPrefix, partKey } from '../../../repository/layout.ts'
import { forEachOf } from '../../../storage/requests/for-each-of.ts'
import type { Contents } from '../contents.ts'
import type { PushContext } from '../own-objects.ts'
import { assertFree, modifiedNsOf } from '../part/new-object.ts'

/** Copies parts of the backup `from` inside the storage, `atOnce` side by side. Throws what the storage does. */
export async function copyParts(
  context: PushContext,
  from: BackupName,
  { identity, files }: Contents,
  atOnce: number,
): Promise<void> {
  const { log, storage, signal, own } = context
  await forEachOf(files.copiedParts(), atOnce, async ({ source, name }) => {
    const key = `${backupPrefix(from)}/${source.key}`
    const target = partKey(identity.name, name)
    try {
      own.begun(target)
      await assertFree(storage, target, { signal })
      await storage.copy(key, target, { signal })
      const modifiedNs = await modifiedNsOf(storage, target)
      own.stored(target, { sizeBytes: source.sizeBytes, hash: source.hash, modifiedNs })
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      throw new WalgError(
        'OBJECT_NOT_FOUND',
        `"${key}", which this backup was to copy, is not there any more`,
        {
          facts: { key, storage: storage.name, backup: from },
          hint: 'the backup was deleted while this one was taken: take another',
          cause: error,
        },
      )
    }
    log.info(`Copied ${source.key} of ${from} as ${name}`)
  })
}
