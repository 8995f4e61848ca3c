import { type BigIntStats, lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { eventTurn, throwIfCancelled } from '../kit/clock.ts'
import { errnoOf, fromSystemError, WalgError } from '../kit/errors.ts'
import type { Logger } from '../kit/log.ts'
import { collectGarbageEvery } from '../kit/thread.ts'
import { type DataEntries, type DataEntry, DataEntryColumns, type EntryKind } from './walk/data-entries.ts'
import { type LeftOut, leftOutFor } from './walk/left-out.ts'
import { listNames } from './walk/list-names.ts'
import { isReadable, Refusals } from './walk/readable.ts'
import { findTablespaces, type Tablespace, type TablespaceMap } from './walk/tablespaces.ts'

/** A symbolic link that is not a tablespace, and what became of it. Tar members never are symbolic links. */
export interface ForeignLink {
  readonly memberName: string
  /** The link's target, as it reads. */
  readonly target: string
  /** `content`: a member with the target's content. `tree`: a real directory. `nothing`: not in the backup. */
  readonly stored: 'content' | 'tree' | 'nothing'
}

/** pg_control, kept out of the entries: it travels last and in an archive of its own. */
export interface ControlEntry {
  readonly path: string
  /** Always `/global/pg_control`. */
  readonly memberName: string
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
}

export interface DataDirectory {
  /** Absolute, symbolic links resolved. */
  readonly root: string
  /** In the order of the walk: lexical (bytewise), a directory before what is in it; the first is `/`. */
  readonly entries: DataEntries
  readonly controlFile: ControlEntry
  /** `DataCatalogSize` of the sentinel: the sizes of everything met, left-out things and directories included. */
  readonly catalogBytes: number
  /** Bytes of the files among `entries`. */
  readonly contentBytes: number
  readonly tablespaces: readonly Tablespace[]
  readonly links: readonly ForeignLink[]
}

export interface WalkOptions {
  readonly log: Logger
  readonly signal: AbortSignal
  /** Beside the list of what no backup takes. */
  readonly leftOut?: readonly LeftOut[]
}

const CONTROL_PLACE = '/global'
const CONTROL_NAME = 'pg_control'
/** Between two breaths the walk keeps the thread at most this long: signals and pings get their turn. */
const BREATH_MS = 20
/** What the system says of so many files leaves tens of megabytes of garbage behind. */
const ENTRIES_PER_COLLECTION = 1 << 16
const PERMISSION_BITS = 0o7777n

/** Links to directories are followed only here: what is in them is the cluster's own. */
const SERVER_TREES =
  /^\/(?:base|global|pg_commit_ts|pg_logical|pg_multixact|pg_stat|pg_twophase|pg_xact)(?:\/|$)|^\/pg_tblspc(?:$|\/\d+\/)/
/** What may be in a tablespace beside PostgreSQL's own directories, and fsck's directory: nobody misses it. */
const FOREIGN_TREES = /^(?:\/lost\+found|\/pg_tblspc\/\d+\/(?!PG_)[^/]+)$/

interface Walk {
  readonly options: WalkOptions
  readonly entries: DataEntryColumns
  readonly tablespaces: TablespaceMap
  readonly links: ForeignLink[]
  readonly refusals: Refusals
  /** Directories reached through a link that is no tablespace, by `identityOf`: each is followed once. */
  readonly followed: Set<string>
  /** Asked for once: every call is one into the kernel. */
  readonly user: number | undefined
  controlFile: ControlEntry | undefined
  catalogBytes: number
  contentBytes: number
  breathedAt: number
  readonly collectGarbage: (doneCount: number) => void
}

/** One directory on its way through the walk; `member` is empty for the data directory itself. */
interface Place {
  readonly path: string
  readonly member: string
  /** Among the entries. */
  readonly number: number
  /** False below a tablespace outside of the data directory. */
  readonly isMain: boolean
}

/**
 * Walks a data directory for a backup (storage-format 1.7, 1.9): what is in it, what is left out and why, before
 * anything is sent. Links become what they lead to (a regular file, or a tree of the server's own), or nothing
 * with a WARNING; sockets, FIFOs and devices are left out with a WARNING; a left-out directory that is a link
 * (pg_wal) becomes an empty directory. Throws FILE_NOT_FOUND, FILE_ACCESS (naming what cannot be read),
 * FORMAT_INVALID (a name that is not UTF-8; the format cannot hold it), CANCELLED.
 */
export async function walkDataDirectory(root: string, options: WalkOptions): Promise<DataDirectory> {
  throwIfCancelled(options.signal)
  const realRoot = resolveRoot(root)
  const entries = new DataEntryColumns()
  const walk: Walk = {
    options,
    entries,
    tablespaces: findTablespaces(realRoot, options.log),
    links: [],
    refusals: new Refusals(),
    followed: new Set(),
    user: process.geteuid?.(),
    controlFile: undefined,
    catalogBytes: 0,
    contentBytes: 0,
    breathedAt: performance.now(),
    collectGarbage: collectGarbageEvery(ENTRIES_PER_COLLECTION),
  }
  const stats = statSync(realRoot, { bigint: true })
  const place = openPlace(walk, realRoot, '', true)
  walk.catalogBytes += Number(stats.size)
  addEntry(walk, place, '', stats, 'directory')
  await walkDirectory(walk, place)
  walk.refusals.assertNone(realRoot)
  if (walk.controlFile === undefined) {
    throw new WalgError('FILE_NOT_FOUND', `"${realRoot}" holds no global/pg_control`, {
      facts: { path: realRoot },
      hint: 'give the data directory of the cluster (SHOW data_directory)',
    })
  }
  return {
    root: realRoot,
    entries,
    controlFile: walk.controlFile,
    catalogBytes: walk.catalogBytes,
    contentBytes: walk.contentBytes,
    tablespaces: walk.tablespaces.list,
    links: walk.links,
  }
}

async function walkDirectory(walk: Walk, place: Place): Promise<void> {
  for (const name of listOrRefuse(walk, place)) {
    if (performance.now() - walk.breathedAt > BREATH_MS) await breathe(walk)
    walk.collectGarbage(1)
    const path = `${place.path}/${name}`
    const stats = lstatOrVanished(walk, path)
    if (stats === undefined) continue
    walk.catalogBytes += Number(stats.size)
    const leftOut = leftOutFor(name) ?? walk.options.leftOut?.find(one => one.name === name)
    if (leftOut !== undefined) {
      if (stats.isDirectory()) addEntry(walk, place, name, stats, 'directory')
      else if (stats.isSymbolicLink()) keepLeftOutLink(walk, place, name, leftOut.kind)
    } else if (stats.isFile()) {
      addFile(walk, place, name, path, stats)
    } else if (stats.isDirectory()) {
      if (isOtherTree(walk, place, path, stats)) continue
      addEntry(walk, place, name, stats, 'directory')
      await walkDirectory(walk, openPlace(walk, path, `${place.member}/${name}`, place.isMain))
    } else if (stats.isSymbolicLink()) {
      await walkLink(walk, place, name)
    } else {
      walk.options.log.warning(`"${path}" is a ${specialKind(stats)} and is left out of the backup`)
    }
  }
}

/** A link: a tablespace, or one that a person has made. */
async function walkLink(walk: Walk, place: Place, name: string): Promise<void> {
  const path = `${place.path}/${name}`
  const member = `${place.member}/${name}`
  const tablespace = place.member === '/pg_tblspc' ? walk.tablespaces.byMember.get(member) : undefined
  if (tablespace !== undefined) {
    if (tablespace.directory === undefined) return
    walk.catalogBytes += tablespace.rootBytes
    await walkDirectory(walk, openPlace(walk, tablespace.directory, member, false))
    return
  }
  const { log } = walk.options
  const target = readlinkOrVanished(walk, path)
  if (target === undefined) return
  const stats = statOrUndefined(path)
  if (stats?.isFile() === true && isReadable(path, stats, walk.user)) {
    log.warning(
      `"${path}" is a symbolic link to "${target}": the backup holds the content, as a regular file`,
    )
    walk.links.push({ memberName: member, target, stored: 'content' })
    addFile(walk, place, name, path, stats)
  } else if (stats?.isDirectory() === true && SERVER_TREES.test(member) && follow(walk, stats)) {
    log.warning(`"${path}" is a symbolic link to "${target}": the backup holds it as a real directory`)
    walk.links.push({ memberName: member, target, stored: 'tree' })
    addEntry(walk, place, name, stats, 'directory')
    await walkDirectory(walk, openPlace(walk, path, member, place.isMain))
  } else {
    const what = stats === undefined ? 'leads nowhere that can be read' : 'is not part of the cluster'
    log.warning(`"${path}" is a symbolic link to "${target}", which ${what}: it is NOT in the backup`)
    walk.links.push({ memberName: member, target, stored: 'nothing' })
  }
}

/** A left-out directory that is a link (a symlinked pg_wal): an empty directory, so that the server finds one. */
function keepLeftOutLink(walk: Walk, place: Place, name: string, kind: 'directory' | 'file'): void {
  const path = `${place.path}/${name}`
  const target = readlinkOrVanished(walk, path)
  const stats = statOrUndefined(path)
  const isDirectory = stats?.isDirectory() ?? kind === 'directory'
  if (target === undefined || !isDirectory) return
  walk.options.log.warning(`"${path}" is a symbolic link to "${target}": the backup holds an empty directory`)
  walk.links.push({ memberName: `${place.member}/${name}`, target, stored: 'tree' })
  addEntry(walk, place, name, stats ?? lstatSync(place.path, { bigint: true }), 'directory')
}

function openPlace(walk: Walk, path: string, member: string, isMain: boolean): Place {
  return { path, member, isMain, number: walk.entries.addPlace(path, member) }
}

function addFile(walk: Walk, place: Place, name: string, path: string, stats: BigIntStats): void {
  if (!isReadable(path, stats, walk.user)) {
    walk.refusals.addUnreadable(path)
  } else if (name === CONTROL_NAME && place.member === CONTROL_PLACE) {
    const memberName = `${CONTROL_PLACE}/${CONTROL_NAME}`
    walk.controlFile = { path, memberName, sizeBytes: Number(stats.size), ...attributesOf(stats) }
  } else {
    addEntry(walk, place, name, stats, 'file')
    walk.contentBytes += Number(stats.size)
  }
}

function addEntry(walk: Walk, place: Place, name: string, stats: BigIntStats, kind: EntryKind): void {
  const sizeBytes = kind === 'file' ? Number(stats.size) : 0
  walk.entries.add(place.number, name, { kind, sizeBytes, ...attributesOf(stats) })
}

function attributesOf(stats: BigIntStats): Omit<DataEntry, 'path' | 'memberName' | 'kind' | 'sizeBytes'> {
  return {
    mode: Number(stats.mode & PERMISSION_BITS),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeNs: stats.mtimeNs,
    ctimeNs: stats.ctimeNs,
  }
}

/** Inside a tablespace: the root of another one, or the data directory itself, is walked in its own place. */
function isOtherTree(walk: Walk, place: Place, path: string, stats: BigIntStats): boolean {
  if (place.isMain || !walk.tablespaces.roots.has(identityOf(stats))) return false
  walk.options.log.debug(`"${path}" is walked in its own place`)
  return true
}

function follow(walk: Walk, stats: BigIntStats): boolean {
  const identity = identityOf(stats)
  if (walk.tablespaces.roots.has(identity) || walk.followed.has(identity)) return false
  walk.followed.add(identity)
  return true
}

function identityOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`
}

function listOrRefuse(walk: Walk, place: Place): string[] {
  const { log } = walk.options
  try {
    return listNames(place.path, name => walk.refusals.addBadName(place.path, name))
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' && place.member !== '') {
      log.warning(`"${place.path}" vanished while the data directory was walked`)
    } else if (errno !== 'EACCES' && errno !== 'EPERM') {
      throw fromSystemError(error, 'list', place.path)
    } else if (FOREIGN_TREES.test(place.member)) {
      log.warning(
        `"${place.path}" cannot be read and is not PostgreSQL's: the backup holds an empty directory`,
      )
    } else {
      walk.refusals.addUnreadable(place.path)
    }
    return []
  }
}

function lstatOrVanished(walk: Walk, path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true })
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'stat', path)
    walk.options.log.warning(`"${path}" vanished while the data directory was walked`)
    return undefined
  }
}

function readlinkOrVanished(walk: Walk, path: string): string | undefined {
  try {
    const target = readlinkSync(path, 'buffer')
    const text = target.toString('utf8')
    if (Buffer.compare(Buffer.from(text, 'utf8'), target) !== 0) walk.refusals.addBadName(path, target)
    return text
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'read the link', path)
    walk.options.log.warning(`"${path}" vanished while the data directory was walked`)
    return undefined
  }
}

/** What a link leads to; undefined when it dangles, loops, or may not be looked at. */
function statOrUndefined(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true })
  } catch (error) {
    const errno = errnoOf(error)
    if (errno !== undefined && ['ENOENT', 'ELOOP', 'EACCES', 'ENOTDIR'].includes(errno)) return undefined
    throw fromSystemError(error, 'stat', path)
  }
}

function specialKind(stats: BigIntStats): string {
  if (stats.isSocket()) return 'socket'
  return stats.isFIFO() ? 'FIFO' : 'device'
}

async function breathe(walk: Walk): Promise<void> {
  await eventTurn()
  throwIfCancelled(walk.options.signal)
  walk.breathedAt = performance.now()
}

function resolveRoot(root: string): string {
  try {
    const real = realpathSync(root)
    readdirSync(real)
    return real
  } catch (error) {
    throw fromSystemError(error, 'read the data directory', root)
  }
}
