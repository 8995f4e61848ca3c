import { hasMark, looksPlain } from '../../../codec/encryption/stored-form.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { findPayload } from '../../../repository/sealed.ts'
import type { OperationContext } from '../../context.ts'

const HEAD_BYTES = 512

/**
 * Warns when the backup is sealed with a key and the archived WAL that it needs is not: archive_command runs with other
 * settings, its WAL lies open, and wal-fetch refuses it with the settings of this command. Only what certainly is no
 * encrypted object counts; a server that has nothing but a public key cannot read its own WAL either.
 */
export async function warnOfPlainWal(
  { storage, codec, log, signal }: Pick<OperationContext, 'storage' | 'codec' | 'log' | 'signal'>,
  file: string,
): Promise<void> {
  if (!codec.hasKeys || codec.readsPlain) return
  const found = await findPayload(storage, `${WAL_PREFIX}/${file}`, {
    firstExtension: codec.extension,
    signal,
  })
  if (found === null) return
  const end = Math.min(HEAD_BYTES, found.info.sizeBytes)
  const head = Buffer.concat(
    await Array.fromAsync(await storage.get(found.key, { range: { first: 0, end }, signal })),
  )
  const isPlain = found.extension === '' ? looksPlain(head, '') : hasMark(head, found.extension)
  if (!isPlain) return
  log.warning(
    `"${found.key}", which the backup needs, is not encrypted, and the backup is: archive_command runs without the key. ` +
      'wal-fetch refuses that WAL with the settings of this backup (WALG_READ_UNENCRYPTED)',
  )
}
