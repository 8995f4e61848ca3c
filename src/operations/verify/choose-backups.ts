import { listBackups, readSentinel } from '../../repository/catalog.ts'
import { type ChainBackup, readChain } from '../../repository/chain.ts'
import { type SelectedBackup, selectBackup } from '../../repository/selector.ts'
import type { OperationContext } from '../context.ts'
import { type Findings, isFinding } from './findings.ts'
import type { VerifyOptions } from './options.ts'

type ChooseContext = Pick<OperationContext, 'storage' | 'signal'>

/**
 * The backups to look at, each after everything it hangs on. A name that does not exist is thrown; whatever is wrong
 * with a backup that does is a finding.
 */
export async function chooseBackups(
  context: ChooseContext,
  selection: VerifyOptions['selection'],
  findings: Findings,
): Promise<readonly ChainBackup[]> {
  const found = new Map<string, ChainBackup>()
  for (const target of await wantedBackups(context, selection, findings)) {
    try {
      const chain = await readChain(context.storage, target, context)
      for (const backup of chain.toReversed()) found.set(backup.name, found.get(backup.name) ?? backup)
    } catch (error) {
      if (!isFinding(error)) throw error
      findings.error(target.name, null, error.message)
      found.set(target.name, { name: target.name, document: target.document })
    }
  }
  return [...found.values()]
}

async function wantedBackups(
  context: ChooseContext,
  selection: VerifyOptions['selection'],
  findings: Findings,
): Promise<SelectedBackup[]> {
  const { storage } = context
  if (selection.kind !== 'all') return [await selectBackup(storage, selection, context)]
  const targets: SelectedBackup[] = []
  for (const entry of await listBackups(storage, context)) {
    try {
      targets.push({ ...entry, document: await readSentinel(storage, entry.name, context) })
    } catch (error) {
      if (!isFinding(error)) throw error
      findings.error(entry.name, null, error.message)
    }
  }
  return targets
}
