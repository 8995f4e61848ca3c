import fs from 'node:fs'
import path from 'node:path'
import { WalgError } from '../../../kit/errors.ts'
import { type ControlFile, readControlFile } from '../../../postgres/control-file.ts'
import { formatLsn } from '../../../postgres/lsn.ts'
import { runningServer } from '../../../postgres/server/postmaster-file.ts'
import { walFileOfName } from '../../../repository/backup-name.ts'
import type { ChainBackup } from '../../../repository/chain.ts'
import type { Sentinel } from '../../../repository/sentinel.ts'
import type { TablespaceSpec } from '../../../repository/tablespace-spec.ts'
import type { OperationContext } from '../../context.ts'
import type { FetchPlan } from '../plan/chain-plan.ts'
import { IS_INCREMENT } from '../plan/member-roles.ts'
import type { Destination } from '../target/destination.ts'
import { findForeignHistory } from './standby-history.ts'
import { findUnwritten } from './unwritten-pages.ts'

/** Throws CLUSTER_STATE while a server runs in the directory. */
export function refuseRunningStandby(directory: string): void {
  const pid = runningServer(directory)
  if (pid === undefined) return
  throw new WalgError('CLUSTER_STATE', `a server runs in "${directory}" (process ${pid})`, {
    facts: { path: directory, pid },
    hint: 'stop the standby first, cleanly: `pg_ctl stop -m fast`',
  })
}

/**
 * Makes sure that the increments of a catchup backup fit what the standby has on disk: everything before the REDO location of
 * its latest checkpoint is there; what it has replayed behind that is looked for. Throws DELTA_BASE_INVALID, before anything is
 * touched. A fetch that was interrupted has been through this.
 */
export async function checkStandby(
  context: OperationContext,
  { root, isExisting, isInterrupted }: Destination,
  { name, document }: ChainBackup,
  { table, steps }: FetchPlan,
): Promise<void> {
  const { sentinel } = document
  const fromLsn = sentinel.catchupFromLsn
  const roles = steps.at(-1)!.roles
  if (isInterrupted || fromLsn === undefined || !roles.some(role => (role & IS_INCREMENT) !== 0)) return
  if (!isExisting) {
    throw unfit(root, name, `"${root}" is empty: the backup holds only changed pages`, {
      hint: 'name the data directory of the standby, or make a new standby with backup-fetch',
    })
  }
  const control = await readControlFile(root)
  const timeline = Number.parseInt(walFileOfName(name).slice(0, 8), 16)
  if (timeline !== control.timeline) {
    const told = `the backup is of timeline ${timeline}, the standby is on timeline ${control.timeline}`
    throw unfit(root, name, told, {
      hint: 'they may have parted before the standby stopped: repeat catchup-push with --from-lsn 0, or use pg_rewind',
    })
  }
  const ahead = aheadOf(sentinel, control)
  if (ahead !== undefined) {
    throw unfit(root, name, `${ahead}: it would be left with pages of two times`, {
      hint: 'let it stream on from where it is; where its WAL is gone, repeat catchup-push now, or name a newer backup',
    })
  }
  const foreign = await findForeignHistory(context, control)
  if (foreign !== undefined) {
    throw unfit(root, name, `${foreign}: the primary went on from an older state since`, {
      hint: 'make a new standby with backup-fetch, or use pg_rewind: pages that only the standby has changed would stay',
    })
  }
  if (fromLsn <= control.redoLsn) return
  const reason = await findUnwritten({
    root,
    control,
    toLsn: fromLsn,
    majorVersion: Math.floor(sentinel.pgVersion / 10_000),
    isPatched: file => ((roles[table.find(file)] ?? 0) & IS_INCREMENT) !== 0,
    signal: context.signal,
  })
  if (reason === undefined) return
  const redo = formatLsn(control.redoLsn)
  const told = `the backup holds changes since ${formatLsn(fromLsn)}, and the standby has not written all that it has replayed before that`
  throw unfit(root, name, `${told}: ${reason}`, {
    hint: `repeat catchup-push with --from-lsn ${redo}, the REDO location of the latest checkpoint that pg_controldata shows for the stopped standby`,
  })
}

/** How the standby is further than the backup, if it is: recovery begins and is consistent where the backup says. */
function aheadOf({ lsn, finishLsn }: Sentinel, control: ControlFile): string | undefined {
  const { redoLsn, minRecoveryLsn } = control
  if (lsn !== null && redoLsn > lsn) {
    return `the standby has come to ${formatLsn(redoLsn)}, and the backup was begun at ${formatLsn(lsn)}`
  }
  if (finishLsn !== null && minRecoveryLsn > finishLsn) {
    return `the standby has come to ${formatLsn(minRecoveryLsn)}, and the backup ended at ${formatLsn(finishLsn)}`
  }
  return undefined
}

function unfit(
  root: string,
  backup: string,
  message: string,
  { hint }: { readonly hint: string },
): WalgError {
  return new WalgError('DELTA_BASE_INVALID', message, { facts: { path: root, backup }, hint })
}

/** Tablespaces that the standby has, which stay where they are, by oid. */
export function standbyTablespaces(root: string, spec: TablespaceSpec | null): ReadonlyMap<string, string> {
  const places = new Map<string, string>()
  for (const { oid } of spec?.tablespaces ?? []) {
    const location = linkAt(path.join(root, 'pg_tblspc', oid))
    if (location !== undefined && !`${location}/`.startsWith(`${root}/`)) places.set(oid, location)
  }
  return places
}

function linkAt(place: string): string | undefined {
  try {
    return fs.readlinkSync(place)
  } catch {
    return undefined // no link, or nothing at all
  }
}
