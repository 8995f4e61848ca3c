/** Pure decisions about the parts of one backup: which there are, which are missing, in what order they are read. */
import { compressionByExtension } from '../../../codec/extensions.ts'
import { WalgError } from '../../../kit/errors.ts'
import type { FilesMetadata } from '../../../repository/files-metadata.ts'
import { isLabelPart, isLatePart, isPgControlPart, PARTS_FOLDER } from '../../../repository/layout.ts'
import type { ExpectedContent } from './expected-content.ts'
import {
  BACKUP_LABEL,
  IS_SKIPPED,
  IS_WANTED,
  PG_CONTROL,
  type Roles,
  TABLESPACE_MAP,
} from './member-roles.ts'
import { canonicalName, type MemberTable } from './member-table.ts'

/** An object directly inside `tar_partitions/`. */
export interface StoredPart {
  /** Base name. */
  readonly part: string
  readonly key: string
  readonly sizeBytes: number
  readonly modifiedNs: bigint
}

export interface PlannedPart extends StoredPart {
  /** For `codec.open`. */
  readonly extension: string
}

export interface PartsPlan {
  /** Largest first. */
  readonly ordinary: readonly PlannedPart[]
  /** pg_control and the label files, read after everything else. */
  readonly late: readonly PlannedPart[]
  /** The backup brings a backup_label, as all do but one of a server that was shut down. */
  readonly hasLabel: boolean
  /** Objects that are no parts of this backup. */
  readonly foreign: readonly string[]
}

export interface PartsPlanInput {
  readonly backup: string
  /** The backup that was asked for, not one of its parents. */
  readonly isTarget: boolean
  readonly stored: readonly StoredPart[]
  readonly content: ExpectedContent | null
  /** Null without a list of files. */
  readonly table: MemberTable | null
  readonly roles: Roles
  /** Of the list of files; undefined without one. */
  readonly labelPart: string | undefined
  readonly hasLabel: boolean | undefined
}

/** What an interrupted put of the original leaves on file storage. */
const TEMPORARY_NAME = /\.tmp\.\d{8}T\d{6}Z-[0-9a-f]+$/
/** `base_…` names of WAL-E, which had no pg_control archive (storage-format 3.8). */
const WALE_NAME = /^[^_]+._[^_]+._/

/**
 * Plans the parts of one backup (storage-format 1.5, 3.8). Throws INTEGRITY, before anything is read, when a part is
 * missing that the content manifest or `TarFileSets` names, or when pg_control or the label files are.
 */
export function planParts(input: PartsPlanInput): PartsPlan {
  const parts: PlannedPart[] = []
  const foreign: string[] = []
  for (const stored of input.stored) {
    if (TEMPORARY_NAME.test(stored.part)) continue
    const extension = extensionOfPart(stored.part)
    const isListed = input.content?.objects.has(`${PARTS_FOLDER}/${stored.part}`) === true
    if (extension === undefined || (input.content !== null && !isListed)) foreign.push(stored.part)
    else parts.push({ ...stored, extension })
  }
  const names = new Set(parts.map(({ part }) => part))
  checkManifestObjects(input, parts)
  if (input.isTarget) checkLateParts(input, names)
  const ordinary = parts.filter(({ part }) => !isLatePart(part))
  ordinary.sort((a, b) => b.sizeBytes - a.sizeBytes || (a.part < b.part ? -1 : 1))
  // the files in them are never wanted from a parent
  const late = input.isTarget ? parts.filter(({ part }) => isLatePart(part)) : []
  return { ordinary, late, hasLabel: hasLabel(input), foreign }
}

/** `lz4`, …, `''` for a part without compression; undefined for an object that is no part. */
export function extensionOfPart(part: string): string | undefined {
  const dot = part.lastIndexOf('.')
  if (dot < 0 || dot === part.length - 1 || part.endsWith('.tar')) return ''
  const extension = part.slice(dot + 1)
  return compressionByExtension(extension) === undefined ? undefined : extension
}

function checkManifestObjects(input: PartsPlanInput, parts: readonly PlannedPart[]): void {
  for (const object of input.content?.objects.values() ?? []) {
    if (!object.key.startsWith(`${PARTS_FOLDER}/`)) continue
    const name = object.key.slice(PARTS_FOLDER.length + 1)
    if (!input.isTarget && isLatePart(name)) continue
    const part = parts.find(stored => stored.part === name)
    if (part === undefined) throw missingPart(input.backup, name)
    if (part.sizeBytes !== object.sizeBytes) {
      throw new WalgError(
        'INTEGRITY',
        `part "${name}" of backup "${input.backup}" has ${part.sizeBytes} bytes, not ${object.sizeBytes}`,
        {
          facts: { backup: input.backup, part: name },
          hint: 'the object is damaged: restore another backup',
        },
      )
    }
  }
}

export interface FileSetsInput {
  readonly backup: string
  readonly stored: readonly StoredPart[]
  readonly files: FilesMetadata
  readonly table: MemberTable
  readonly roles: Roles
}

/**
 * Throws INTEGRITY for a part that `TarFileSets` names and that is not stored. (It may name parts that never came to
 * be, but only for files that are not in `Files`.)
 */
export function checkFileSets({ backup, stored, files, table, roles }: FileSetsInput): void {
  const names = new Set(stored.map(({ part }) => part))
  for (const part of files.partNames()) {
    if (names.has(part) || isLatePart(part)) continue
    for (const member of files.partMembers(part)) {
      const row = table.find(canonicalName(member))
      if (row < 0 || files.find(member) < 0) continue
      if ((roles[row]! & IS_WANTED) !== 0 && (roles[row]! & IS_SKIPPED) === 0) throw missingPart(backup, part)
    }
  }
}

function checkLateParts(input: PartsPlanInput, names: ReadonlySet<string>): void {
  const all = [...names]
  const isWanted = (name: string): boolean =>
    input.table === null || (input.roles[input.table.find(name)]! & IS_WANTED) !== 0
  if (isWanted(PG_CONTROL) && !all.some(isPgControlPart) && !WALE_NAME.test(input.backup)) {
    throw new WalgError(
      'INTEGRITY',
      `Expect pg_control archive, but not found: backup "${input.backup}" has none`,
      {
        facts: { backup: input.backup },
        hint: 'the backup is incomplete: restore another one',
      },
    )
  }
  const isLabelWanted = isWanted(BACKUP_LABEL) || isWanted(TABLESPACE_MAP)
  if (input.labelPart !== undefined && isLabelWanted && !all.some(isLabelPart)) {
    throw missingPart(input.backup, input.labelPart)
  }
}

export interface ListedLabel {
  /** The part with the label files that `TarFileSets` names. */
  readonly labelPart: string | undefined
  /** The backup brings a backup_label. Where nothing says so, it is expected. */
  readonly hasLabel: boolean
}

/** What the list of files says about the label. */
export function findLabel(files: FilesMetadata): ListedLabel {
  const names = files.partNames()
  const labelPart = names.find(isLabelPart)
  const isListed = files.find(BACKUP_LABEL) >= 0 || files.find(`/${BACKUP_LABEL}`) >= 0
  return { labelPart, hasLabel: names.length === 0 || isListed || labelPart !== undefined }
}

function hasLabel({ content, table, hasLabel }: PartsPlanInput): boolean {
  return hasLabel ?? (content === null || table === null || content.has(table.find(BACKUP_LABEL)))
}

function missingPart(backup: string, part: string): WalgError {
  return new WalgError('INTEGRITY', `part "${part}" of backup "${backup}" is missing`, {
    facts: { backup, part },
    hint: 'the backup is incomplete: restore another one',
  })
}
