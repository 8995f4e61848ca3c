import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { hashBytes } from '../../src/kit/hash.ts'
import {
  encodeTarHeader,
  TAR_END_BYTES,
  type TarMember,
  tarHeaderBytes,
  tarPaddingBytes,
} from '../../src/tar/pack.ts'

/** A member of a made part. */
export interface MadeMember extends Partial<Omit<TarMember, 'name' | 'sizeBytes'>> {
  readonly name: string
  readonly content?: string | Uint8Array
}

/** A backup to write into a repository on disk, uncompressed, with exactly what a test says. */
export interface MadeBackup {
  readonly name: string
  readonly parts: Readonly<Record<string, readonly MadeMember[]>>
  /** `Files` of files_metadata.json; default: every member of ordinary parts. `null` = no such object. */
  readonly files?: Readonly<Record<string, { IsIncremented?: boolean; IsSkipped?: boolean }>> | null
  /** More keys for the sentinel, or other values. */
  readonly sentinel?: Readonly<Record<string, unknown>>
  /** Writes a content manifest. */
  readonly hasManifest?: boolean
  /** What becomes of the tars of ordinary parts before they are stored; default: they are stored as they are. */
  readonly seal?: (tar: Uint8Array) => Uint8Array
}

export const LABEL: string =
  'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n' +
  'BACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-22 11:19:58 UTC\nLABEL: x\nSTART TIMELINE: 1\n'

/** The two late parts that every backup has. */
export const LATE_PARTS: MadeBackup['parts'] = {
  'pg_control.tar': [{ name: '/global/pg_control', content: 'control' }],
  'backup_label.tar': [
    { name: 'backup_label', content: LABEL },
    { name: 'tablespace_map', content: '' },
  ],
}

/** The bytes of a tar; `isEnded` false leaves out the closing zero blocks. */
export function makeTar(members: readonly MadeMember[], isEnded = true): Uint8Array {
  const chunks: Uint8Array[] = []
  for (const made of members) {
    const content = contentOf(made)
    const member: TarMember = {
      kind: 'file',
      mode: made.kind === 'directory' ? 0o700 : 0o600,
      uid: 0,
      gid: 0,
      mtimeNs: 1_700_000_000_000_000_000n,
      ...made,
      sizeBytes: content.length,
    }
    const header = new Uint8Array(tarHeaderBytes(member))
    encodeTarHeader(header, 0, member)
    chunks.push(header, content, new Uint8Array(tarPaddingBytes(content.length)))
  }
  if (isEnded) chunks.push(new Uint8Array(TAR_END_BYTES))
  return new Uint8Array(Buffer.concat(chunks))
}

/** Writes the backup below `root`; earlier ones stay. */
export function makeBackup(root: string, backup: MadeBackup): void {
  const folder = path.join(root, 'basebackups_005', backup.name)
  mkdirSync(path.join(folder, 'tar_partitions'), { recursive: true })
  const objects = Object.entries(backup.parts).map(([part, members]) => ({
    key: `tar_partitions/${part}`,
    members,
    bytes: part in LATE_PARTS ? makeTar(members) : (backup.seal ?? (tar => tar))(makeTar(members)),
  }))
  for (const { key, bytes } of objects) writeFileSync(path.join(folder, key), bytes)
  const ordinary = Object.entries(backup.parts).filter(([part]) => !(part in LATE_PARTS))
  const listed = ordinary.flatMap(([, members]) => members.map(({ name }) => [name, {}] as const))
  const files = backup.files === undefined ? Object.fromEntries(listed) : backup.files
  if (files !== null) {
    const entries = Object.entries(files).map(([name, flags]) => [
      name,
      { IsIncremented: false, IsSkipped: false, MTime: '2026-11-22T11:00:00Z', UpdatesCount: 0, ...flags },
    ])
    const sets = Object.entries(backup.parts).map(([part, members]) => [
      part,
      members.map(({ name }) => name),
    ])
    writeFileSync(
      path.join(folder, 'files_metadata.json'),
      JSON.stringify({ Files: Object.fromEntries(entries), TarFileSets: Object.fromEntries(sets) }),
    )
  }
  const members = objects.flatMap(one => one.members)
  const sentinel = {
    LSN: 33554472,
    PgVersion: 150018,
    FinishLSN: 33554688,
    SystemIdentifier: 7710956887253248659n.toString(),
    UncompressedSize: members.reduce((sum, member) => sum + contentOf(member).length, 0),
    CompressedSize: 1,
    DataCatalogSize: 1,
    ChkpNum: null,
    Version: 2,
    StartTime: '2026-11-22T11:19:58.5Z',
    FinishTime: '2026-11-22T11:19:59.5Z',
    DateFmt: '%Y-%m-%dT%H:%M:%S.%fZ',
    Hostname: 'made',
    DataDir: '/srv/made',
    IsPermanent: false,
    ...(backup.hasManifest === true ? { ContentManifest: writeManifest(folder, backup.name, objects) } : {}),
    ...backup.sentinel,
  }
  const text = JSON.stringify(sentinel).replace(/"SystemIdentifier":"(\d+)"/, '"SystemIdentifier":$1')
  writeFileSync(path.join(root, 'basebackups_005', `${backup.name}_backup_stop_sentinel.json`), text)
}

function writeManifest(
  folder: string,
  backup: string,
  objects: readonly { key: string; members: readonly MadeMember[]; bytes: Uint8Array }[],
): unknown {
  const lines: unknown[] = [{ format: 'wal-g content manifest', version: 1, backup, hash: 'xxh3-128' }]
  for (const [number, { key, bytes }] of objects.entries()) {
    lines.push({ object: number, key, size: bytes.length, hash: hashBytes(bytes) })
  }
  for (const [number, { members }] of objects.entries()) {
    for (const member of members) {
      const content = contentOf(member)
      if (member.kind !== undefined && member.kind !== 'file') continue
      lines.push({ file: member.name, in: number, size: content.length, hash: hashBytes(content) })
    }
  }
  lines.push({ objects: objects.length, files: lines.length - 1 - objects.length })
  const stored = Buffer.from(lines.map(line => `${JSON.stringify(line)}\n`).join(''))
  const object = 'content_manifest.jsonl'
  writeFileSync(path.join(folder, object), stored)
  return { Object: object, Size: stored.length, Hash: `xxh3-128:${hashBytes(stored)}` }
}

function contentOf({ content = '' }: MadeMember): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : content
}
