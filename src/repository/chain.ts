import { hasCode, WalgError } from '../kit/errors.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import type { BackupName } from './backup-name.ts'
import { readSentinel } from './catalog.ts'
import type { SelectedBackup } from './selector.ts'
import type { SentinelDocument } from './sentinel.ts'

/** One backup of a chain. */
export interface ChainBackup {
  readonly name: BackupName
  readonly document: SentinelDocument
}

/** Longer chains than this are loops or damage. */
const CHAIN_LENGTH_MAX = 100_000

/**
 * The backup that was asked for and everything below it, newest first. Throws CHAIN_BROKEN when a parent is missing
 * or is not the backup that the child was made from.
 */
export async function readChain(
  storage: Storage,
  target: SelectedBackup,
  options: Abortable,
): Promise<readonly ChainBackup[]> {
  const chain: ChainBackup[] = [{ name: target.name, document: target.document }]
  const names = new Set<string>([target.name])
  for (;;) {
    const child = chain.at(-1)!
    const { delta } = child.document.sentinel
    if (delta === null) return chain
    if (names.has(delta.parent) || chain.length > CHAIN_LENGTH_MAX) {
      throw brokenChain(child, delta.parent, 'the chain of parents never ends')
    }
    const parent = await readParent(storage, child, delta.parent, options)
    checkParent(child, parent)
    names.add(parent.name)
    chain.push(parent)
  }
}

async function readParent(
  storage: Storage,
  child: ChainBackup,
  name: BackupName,
  options: Abortable,
): Promise<ChainBackup> {
  try {
    return { name, document: await readSentinel(storage, name, options) }
  } catch (error) {
    if (!hasCode(error, 'BACKUP_NOT_FOUND')) throw error
    throw brokenChain(child, name, 'it is not in the storage', error)
  }
}

function checkParent(child: ChainBackup, parent: ChainBackup): void {
  const below = parent.document.sentinel
  const above = child.document.sentinel
  if (below.lsn !== null && below.lsn !== above.delta!.lsn) {
    throw brokenChain(child, parent.name, 'it begins at another LSN than the parent had')
  }
  if (
    below.systemIdentifier !== null &&
    above.systemIdentifier !== null &&
    below.systemIdentifier !== above.systemIdentifier
  ) {
    throw brokenChain(child, parent.name, 'it is of another cluster')
  }
  const wanted = above.contentManifest?.parentHash
  if (wanted !== undefined && wanted !== below.contentManifest?.hash) {
    throw brokenChain(child, parent.name, 'its content manifest is not the one that the parent had')
  }
}

function brokenChain(child: ChainBackup, parent: string, why: string, cause?: unknown): WalgError {
  return new WalgError('CHAIN_BROKEN', `backup "${child.name}" builds on "${parent}": ${why}`, {
    facts: { backup: child.name, parent },
    hint: 'restore another backup; backup-list shows which there are',
    cause,
  })
}
