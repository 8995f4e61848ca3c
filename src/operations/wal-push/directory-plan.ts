import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, fromSystemError, hasCode, WalgError } from '../../kit/errors.ts'
import { compareArchiveNames, isMarkedReady, listReady } from '../../postgres/archive-status.ts'
import type { SegmentReport } from '../../postgres/wal/page-reader.ts'
import { findEndOfValidWal } from '../../postgres/wal/record.ts'
import {
  formatSegmentName,
  isHistoryName,
  isSegmentName,
  parseSegmentName,
} from '../../postgres/wal-segment.ts'
import { checkSegmentFile } from './segment-file.ts'

/** A file with the error that keeps it out of the archive. */
export interface LackingFile {
  readonly name: string
  readonly error: Error
}

/** What a directory push will do, decided before the first byte moves. */
export interface DirectoryPlan {
  readonly names: readonly string[]
  /** Nothing that an archive would miss: recycled and unfinished segments, and what is no file of WAL. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[]
  /** WAL that the archive will lack. */
  readonly lacking: readonly LackingFile[]
  /** Segments that are not there between others, each range in words. */
  readonly holes: readonly string[]
  readonly hasArchiveStatus: boolean
}

const BACKUP_HISTORY_NAME = /^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$/
const PARTIAL_NAME = /^[0-9A-F]{24}\.partial$/
/** As `pg_receivewal --compress` writes it, and people do by hand. */
const COMPRESSED_NAME = /^([0-9A-F]{24}(?:\.partial)?|[0-9A-F]{8}\.history)(\.gz|\.lz4|\.zst|\.bz2|\.xz)$/
const DECOMPRESSING: Readonly<Record<string, string>> = {
  '.gz': 'gzip -d',
  '.lz4': 'lz4 -d --rm -m',
  '.zst': 'zstd -d --rm',
  '.bz2': 'bzip2 -d',
  '.xz': 'xz -d',
}

/** Reads the directory and decides. Throws FILE_ACCESS. */
export async function planDirectory(directory: string, signal: AbortSignal): Promise<DirectoryPlan> {
  const ready = await listReady(directory)
  if (ready === undefined) return await planWithoutStatus(directory, signal)
  const names: string[] = []
  const lacking: LackingFile[] = []
  for (const name of ready) {
    const error = faultOfReady(directory, name)
    if (error === undefined) names.push(name)
    // else the archiver of a server that runs may have had it meanwhile
    else if (await isMarkedReady(directory, name)) lacking.push({ name, error })
  }
  return { names, leftOut: [], lacking, holes: [], hasArchiveStatus: true }
}

/**
 * What speaks against pushing a file that is marked `.ready`. PostgreSQL archives nothing that is empty: such a file has lost
 * its content in a crash, and an object of it would stand in the way of the right one.
 */
function faultOfReady(directory: string, name: string): WalgError | undefined {
  const path = join(directory, name)
  try {
    const stats = statSync(path)
    if (stats.size > 0 || !stats.isFile()) return undefined
    return new WalgError(
      'WAL_INVALID',
      'marked .ready, but the file is empty: bring its content from a standby or another copy and run the command again; if there is none, remove the mark and take a new backup',
    )
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') return fromSystemError(error, 'read', path)
    return new WalgError('FILE_NOT_FOUND', 'marked .ready, but the file is not there')
  }
}

/** What was found of the segments of one timeline, all in the order of their names. */
interface Timeline {
  readonly names: string[]
  readonly sound: SegmentReport[]
  /** With the reason why each is not pushed. */
  readonly refused: Map<string, string>
}

/** Page addresses tell recycled files from real ones, the records tell how far the real ones are written. */
async function planWithoutStatus(directory: string, signal: AbortSignal): Promise<DirectoryPlan> {
  const timelines = new Map<string, Timeline>()
  const plan = {
    names: [] as string[],
    leftOut: [] as { name: string; reason: string }[],
    lacking: [] as LackingFile[],
    holes: [] as string[],
    hasArchiveStatus: false,
  }
  const listed = listNames(directory)
  plan.leftOut.push(...compressedOf(listed))
  for (const name of listed) {
    const isTaken = isHistoryName(name) || BACKUP_HISTORY_NAME.test(name)
    if (!isTaken && !isSegmentName(name) && !PARTIAL_NAME.test(name)) continue
    try {
      if (!statSync(join(directory, name)).isFile()) {
        plan.leftOut.push({ name, reason: 'not a regular file' })
      } else if (isTaken) plan.names.push(name)
      else if (PARTIAL_NAME.test(name)) {
        plan.leftOut.push({
          name,
          reason: 'a partial segment, which only its server can name for the archive',
        })
      } else inspectSegment(directory, name, timelines)
    } catch (error) {
      plan.lacking.push({ name, error: fromSystemError(error, 'read', join(directory, name)) })
    }
    signal.throwIfAborted()
  }
  for (const timeline of timelines.values()) {
    const complete = await completeOf(directory, timeline, plan.lacking, signal)
    const { lacking, leftOut } = sortRefused(timeline, complete)
    plan.names.push(...complete)
    plan.lacking.push(...lacking)
    plan.leftOut.push(...leftOut)
    plan.holes.push(...holesOf(timeline, complete))
  }
  plan.names.sort(compareArchiveNames)
  return plan
}

function listNames(directory: string): string[] {
  try {
    return readdirSync(directory).sort(compareArchiveNames)
  } catch (error) {
    throw fromSystemError(error, 'list', directory)
  }
}

/** Compressed WAL that does not lie there decompressed, too. Only what its own server would archive is pushed: plain files. */
function compressedOf(listed: readonly string[]): { readonly name: string; readonly reason: string }[] {
  const present = new Set(listed)
  const compressed: { name: string; reason: string }[] = []
  for (const name of listed) {
    const [, plain = '', extension = ''] = COMPRESSED_NAME.exec(name) ?? []
    if (plain === '' || present.has(plain)) continue
    const reason = PARTIAL_NAME.test(plain)
      ? 'a compressed partial segment, which only its server can name for the archive'
      : `compressed, as by pg_receivewal: decompress it (${DECOMPRESSING[extension]} ${name}) and run the command again`
    compressed.push({ name, reason })
  }
  return compressed
}

function inspectSegment(directory: string, name: string, timelines: Map<string, Timeline>): void {
  const id = name.slice(0, 8)
  const timeline: Timeline = timelines.get(id) ?? { names: [], sound: [], refused: new Map() }
  timelines.set(id, timeline)
  timeline.names.push(name)
  const report = checkSegmentFile(join(directory, name))
  if (report.fault === undefined) timeline.sound.push(report)
  else timeline.refused.set(name, report.fault.message)
}

/** Segments that the records prove complete, and those whose only fault is that the next one is not there. */
async function completeOf(
  directory: string,
  { sound, refused }: Timeline,
  lacking: LackingFile[],
  signal: AbortSignal,
): Promise<string[]> {
  const complete: string[] = []
  const unreadable = new Set(lacking.map(({ name }) => name))
  let cutOff: string[] = []
  for (const run of runsOf(sound)) {
    try {
      const valid = await findEndOfValidWal(directory, run, signal, unreadable)
      if (valid.complete.length > 0) {
        // The server has gone on after a gap: what was read to its end before it was finished, too.
        complete.push(...cutOff)
        cutOff = []
      }
      complete.push(...valid.complete)
      const rest = run.filter(name => !valid.complete.includes(name))
      if (valid.isCutOff) cutOff.push(...rest)
      for (const name of rest) refused.set(name, `not proved complete: ${valid.reason}`)
    } catch (error) {
      if (!hasCode(error, 'FILE_ACCESS', 'FILE_NOT_FOUND')) throw error
      for (const name of run) lacking.push({ name, error })
    }
  }
  for (const name of complete) refused.delete(name)
  return complete
}

/** Names without a gap between them. */
function runsOf(sound: readonly SegmentReport[]): string[][] {
  const runs: string[][] = []
  for (const [at, report] of sound.entries()) {
    const previous = sound[at - 1]
    if (previous !== undefined && numberOf(report) === numberOf(previous) + 1n) runs.at(-1)!.push(report.name)
    else runs.push([report.name])
  }
  return runs
}

/**
 * Recycled and unfinished segments are the last of a timeline. One that has WAL behind it was written to its end once:
 * it is damaged, and the archive will lack it.
 */
function sortRefused(
  { sound, refused }: Timeline,
  complete: readonly string[],
): Pick<DirectoryPlan, 'lacking' | 'leftOut'> {
  const written = sound.filter(({ usedBytes, sizeBytes }) => usedBytes === sizeBytes).map(({ name }) => name)
  const last = [...complete, ...written].sort().at(-1) ?? ''
  const lacking: LackingFile[] = []
  const leftOut: { name: string; reason: string }[] = []
  for (const [name, reason] of [...refused].sort()) {
    if (name < last) lacking.push({ name, error: new WalgError('WAL_INVALID', reason) })
    else leftOut.push({ name, reason })
  }
  return { lacking, leftOut }
}

/** Between the segments up to the last complete one; a file that is there and refused is no hole. */
function holesOf({ names, sound }: Timeline, complete: readonly string[]): string[] {
  const segmentBytes = sound[0]?.sizeBytes
  const last = [...complete].sort().at(-1)
  if (segmentBytes === undefined || last === undefined) return []
  const holes: string[] = []
  const present = names.filter(name => name <= last).map(name => parseSegmentName(name, segmentBytes))
  for (const [at, segment] of present.entries()) {
    const previous = present[at - 1]
    if (previous === undefined || segment.number === previous.number + 1n) continue
    const [from, to] = [previous.number + 1n, segment.number - 1n].map(number =>
      formatSegmentName({ timeline: segment.timeline, number }, segmentBytes),
    )
    holes.push(from === to ? `segment ${from} is` : `segments ${from} to ${to} are`)
  }
  return holes
}

function numberOf({ name, sizeBytes }: SegmentReport): bigint {
  return parseSegmentName(name, sizeBytes).number
}
