import { EXTENSIONS_BY_LOOKUP_ORDER } from '../../../codec/extensions.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import { walKey } from '../../../repository/layout.ts'
import type { FoundPayload } from '../../../repository/sealed.ts'
import { statIfThere } from '../../../storage/requests/stat-if-there.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { OperationContext } from '../../context.ts'
import { askCopies } from './ask-copies.ts'
import type { Looks } from './looks.ts'

/**
 * The keys under which `file` is archived in another form than `key`. Asked before `key` is put: another push of the
 * same file that puts its form meanwhile must not find it removed.
 */
export async function findOtherForms(
  { storage, signal }: OperationContext,
  looks: Looks,
  file: string,
  key: string,
): Promise<readonly string[]> {
  const found = new Set<string>()
  await askCopies(storage, async copy => {
    const forms = await looks.tryTo(
      'whether older forms of a file are there, which a fetch may deliver',
      () => otherFormsIn(copy, file, key, signal),
    )
    for (const other of forms?.seen ?? []) found.add(other.key)
  })
  return [...found]
}

/** What one storage has of `file` beside `key`: one round of requests. */
export async function otherFormsIn(
  storage: Storage,
  file: string,
  key: string,
  signal: AbortSignal,
): Promise<readonly FoundPayload[]> {
  const forms = EXTENSIONS_BY_LOOKUP_ORDER.map(({ suffix, extension }) => ({
    key: walKey(file, '') + suffix,
    extension,
  })).filter(form => form.key !== key)
  const infos = await Promise.all(forms.map(form => statIfThere(storage, form.key, { signal })))
  return forms.flatMap((form, at) => {
    const info = infos[at]
    return info === undefined ? [] : [{ ...form, info }]
  })
}

/**
 * Removes the forms that `key`, which is durable, has replaced: whoever looks for the file could find one of them first.
 * Throws WAL_OVERWRITE where that is not possible, because the old content would be delivered.
 */
export async function removeOtherForms(
  { storage, log, signal }: OperationContext,
  key: string,
  others: readonly string[],
): Promise<void> {
  const names = others.map(other => `"${other}"`).join(', ')
  try {
    await storage.delete(others, { signal })
  } catch (error) {
    const isStopped = hasCode(error, 'CANCELLED', 'TIMEOUT')
    if (isStopped || !(error instanceof WalgError)) throw error
    throw new WalgError(
      'WAL_OVERWRITE',
      `"${key}" is stored, but ${names} of the same name could not be removed and would be delivered instead: ${error.message}`,
      {
        facts: { key, storage: storage.name },
        cause: error,
        hint: 'give this user the permission to delete, or remove the older object by hand',
      },
    )
  }
  log.warning(`"${key}" has replaced ${names}, removed so that no fetch delivers the older content`)
  await assertKept(storage, key, signal)
}

/** Two pushes that replace the same file in two forms could each remove what the other has put. */
async function assertKept(storage: Storage, key: string, signal: AbortSignal): Promise<void> {
  try {
    if ((await statIfThere(storage, key, { signal })) !== undefined) return
  } catch (error) {
    if (hasCode(error, 'ACCESS_DENIED')) return
    throw error
  }
  throw new WalgError('WAL_OVERWRITE', `"${key}" was removed by another push of the same name`, {
    facts: { key, storage: storage.name },
    hint: 'two servers with different compression archive to the same place without WALG_PREVENT_WAL_OVERWRITE',
  })
}
