import fs from 'node:fs'
import path from 'node:path'
import { removeFileDurably, syncDirectory } from '../../kit/atomic-file.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'
import { parseControlFile } from '../../postgres/control-file.ts'
import { removeStaleWal } from './catchup/stale-wal.ts'
import type { Fetch } from './fetch-step.ts'
import type { FetchStep } from './plan/chain-plan.ts'
import { BACKUP_LABEL, IS_WANTED, PG_CONTROL } from './plan/member-roles.ts'
import { describeServerManifest, writeServerManifest } from './server-manifest.ts'
import { type TargetLayout, TargetTree } from './target/target-tree.ts'

/** Directories of which the flush is under way. */
const SYNCS_MAX = 16
/** Files read again in one job. */
const CHECKSUM_FILES_MAX = 1000
const LABELS_FROM = 90_600

/**
 * The end of a restore, when every file is in place: last checks, modes of directories, backup_manifest, flushes; then
 * pg_control, without which PostgreSQL does not start; then the record of the fetch goes.
 */
export async function completeFetch(fetch: Fetch, target: FetchStep, layout: TargetLayout): Promise<void> {
  const { context, options, state, restored } = fetch
  const isWhole = options.mask === '' || !fetch.hasList
  checkLateFiles(fetch, target, isWhole)
  if (restored.ignored.size > 0) {
    const names = [...restored.ignored].slice(0, 5).map(name => `"${name}"`)
    context.log.warning(
      `links and special files were not restored (${restored.ignored.size}): ${names.join(', ')}`,
    )
  }
  // PostgreSQL's own manifest would list what was left out on purpose
  // or lacks what a standby has of its own
  if (isWhole && options.restoreOnly.length === 0 && options.isCatchup !== true)
    await writeManifest(fetch, target, layout)
  if (options.isCatchup === true) await leaveOldWal(fetch, target, layout)
  await options.beforeControlFile?.(layout.root)
  throwIfCancelled(context.signal)
  const directories = setDirectoryModes(fetch, layout, isWhole)
  if (options.isDurable) await syncAll(directories)
  if (restored.hasControlFile) await placeControlFile(layout)
  await state.remove()
}

/** A catchup moves the standby over a gap in its WAL. */
async function leaveOldWal(
  { context, options }: Fetch,
  { backup }: FetchStep,
  { root, pending }: TargetLayout,
): Promise<void> {
  const { lsn, pgVersion } = backup.document.sentinel
  if (lsn === null) return
  const file = pending[PG_CONTROL]!
  await removeStaleWal(context.log, {
    root,
    startLsn: lsn,
    majorVersion: Math.floor(pgVersion / 10_000),
    segmentBytes: parseControlFile(fs.readFileSync(file), file).walSegmentBytes,
    isDurable: options.isDurable,
  })
}

function checkLateFiles(fetch: Fetch, target: FetchStep, isWhole: boolean): void {
  const { restored, table } = fetch
  const { name, document } = target.backup
  if (fetch.hasList) {
    // the map is dropped on purpose where the links are ours, and old backups have none
    const row = table.find(PG_CONTROL)
    const isWanted = row >= 0 && (target.roles[row]! & IS_WANTED) !== 0
    if (isWanted && !restored.hasControlFile) throw missing(name, PG_CONTROL)
  }
  if (!isWhole) return
  if (!restored.hasControlFile) throw missing(name, PG_CONTROL)
  const isExpected = document.sentinel.pgVersion >= LABELS_FROM && target.parts.hasLabel
  if (isExpected && !restored.isFile(table.find(BACKUP_LABEL))) throw missing(name, BACKUP_LABEL)
}

function missing(backup: string, file: string): WalgError {
  return new WalgError('INTEGRITY', `backup "${backup}" brought no ${file}`, {
    facts: { backup, file },
    hint: 'the backup is incomplete: restore another one',
  })
}

async function writeManifest(fetch: Fetch, target: FetchStep, layout: TargetLayout): Promise<void> {
  const { context, options, restored } = fetch
  const head = describeServerManifest(layout.root, target.backup, options.checksums)
  if (head === undefined) {
    context.log.warning(
      'backup_manifest is not written: the sentinel does not say which WAL the backup needs',
    )
    return
  }
  if (options.checksums !== 'none') {
    const names = restored.patched()
    const lots = Array.from({ length: Math.ceil(names.length / CHECKSUM_FILES_MAX) }, (_, lot) =>
      names.slice(lot * CHECKSUM_FILES_MAX, (lot + 1) * CHECKSUM_FILES_MAX),
    )
    await fetch.pool.forEach(lots, async (lot, run) => {
      restored.setChecksums(lot, (await run({ kind: 'checksum', names: lot })).checksums)
    })
  }
  await writeServerManifest(layout, fetch.state.folder, head, restored)
}

/** All directories of the backup, with modes as in the backup, children before parents; the root 0700 or, if the cluster had it so, 0750. */
function setDirectoryModes(fetch: Fetch, layout: TargetLayout, isWhole: boolean): (string | Buffer)[] {
  const tree = new TargetTree(layout)
  if (isWhole && fetch.hasList) tree.ensureDirectory({ name: 'pg_wal' })
  const directories = new Map(fetch.restored.directories)
  const paths: (string | Buffer)[] = []
  const names = [...directories.keys()].sort().reverse()
  for (const name of names) {
    const { name: target, mode } = directories.get(name)!
    if (name === '' || layout.links[name] !== undefined) continue
    // one that came with a part of an earlier try may be gone: an empty one has no file that would tell
    tree.ensureDirectory(target)
    const directory = tree.pathOf(target)
    setMode(directory, mode)
    paths.push(directory)
  }
  setMode(layout.root, directories.get('')?.mode === 0o750 ? 0o750 : 0o700)
  return [...paths, ...Object.values(layout.links), layout.root]
}

function setMode(directory: string | Buffer, mode: number): void {
  try {
    fs.chmodSync(directory, mode)
  } catch (error) {
    throw fromSystemError(error, 'set the mode of', String(directory))
  }
}

async function syncAll(directories: readonly (string | Buffer)[]): Promise<void> {
  let next = 0
  const lanes = Array.from({ length: SYNCS_MAX }, async () => {
    // a Buffer where the name is not UTF-8: the system call takes it as well
    while (next < directories.length) await syncDirectory(directories[next++] as string)
  })
  await Promise.all(lanes)
}

/** An earlier fetch may have been killed after it put pg_control in place: now the directory is incomplete again. */
export async function removeControlFile(root: string): Promise<void> {
  const file = path.join(root, PG_CONTROL)
  if (fs.existsSync(file)) await removeFileDurably(file)
}

/** The restore is complete from this rename on. */
async function placeControlFile({ root, pending }: TargetLayout): Promise<void> {
  const final = path.join(root, PG_CONTROL)
  try {
    fs.mkdirSync(path.dirname(final), { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw fromSystemError(error, 'create', path.dirname(final))
  }
  try {
    fs.renameSync(pending[PG_CONTROL]!, final)
  } catch (error) {
    throw fromSystemError(error, 'put in place', final)
  }
  await syncDirectory(path.dirname(final))
}
