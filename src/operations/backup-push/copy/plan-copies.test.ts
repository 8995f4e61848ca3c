import { expect, test } from 'bun:test'
import { timestampFromNs } from '../../../kit/timestamp.ts'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { FilesMetadata } from '../../../repository/files-metadata.ts'
import { ParentSizes } from '../delta/parent/parent-files.ts'
import { PackedFiles } from '../part/packed-files.ts'
import { planCopies } from './plan-copies.ts'
import { SourceParts } from './source-parts.ts'

const PAGE = 8192
const SETTLED = 1_700_000_000_500_000_000n
const LONG_AGO = SETTLED - 3_600_000_000_000n

interface FileSpec {
  readonly name: string
  /** Of the earlier backup. */
  readonly part: string
  /** What is otherwise now; null: it is gone. */
  readonly now?: {
    readonly sizeBytes?: number
    readonly mtimeNs?: bigint
    readonly ctimeNs?: bigint
  } | null
  readonly hash?: string
  readonly isCorrupt?: boolean
  readonly updatesCount?: bigint
  readonly usedBytes?: number
  readonly zeroes?: Uint32Array
}

const A = { name: '/base/5/16384', part: 'part_002.tar.lz4' }
const B = { name: '/base/5/16385', part: 'part_002.tar.lz4' }
const C = { name: '/base/5/16386', part: 'part_003.tar.lz4' }

interface Case {
  /** In `TarFileSets` of the part, beside the files. */
  readonly alsoIn?: Readonly<Record<string, string>>
  readonly extension?: string
  readonly settledNs?: bigint | undefined
}

function plan(files: readonly FileSpec[], { alsoIn = {}, extension = 'lz4', ...rest }: Case = {}) {
  const entries = new DataEntryColumns()
  const listed = new FilesMetadata()
  for (const { name, part, now, isCorrupt, updatesCount = 0n } of files) {
    const corrupt = isCorrupt === true ? { corruptBlocks: { count: 1, some: [0] } } : {}
    const mtime = timestampFromNs(LONG_AGO)
    listed.addFile({ name, isIncremented: false, isSkipped: false, mtime, updatesCount, ...corrupt })
    listed.addPartMember(part, name)
    if (now === null) continue
    const { sizeBytes = PAGE, mtimeNs = LONG_AGO, ctimeNs = mtimeNs } = now ?? {}
    const cut = name.lastIndexOf('/')
    const place = entries.addPlace(`/data${name.slice(0, cut)}`, name.slice(0, cut))
    const attributes = { sizeBytes, mode: 0o600, uid: 0, gid: 0, mtimeNs, ctimeNs }
    entries.add(place, name.slice(cut + 1), { kind: 'file', ...attributes })
  }
  for (const [part, name] of Object.entries(alsoIn)) listed.addPartMember(part, name)
  const sizes = new ParentSizes(listed, PAGE)
  const parts = new SourceParts(listed)
  const names = [...new Set(files.map(({ part }) => part))]
  for (const part of names) parts.takeObject({ key: `tar_partitions/${part}`, sizeBytes: 100, hash: part })
  for (const { name, part, hash = '0'.repeat(32), usedBytes = -1, zeroes } of files) {
    const bytes = new TextEncoder().encode(name)
    const file = { bytes, nameFrom: 0, nameTo: bytes.length, object: names.indexOf(part), sizeBytes: PAGE }
    for (const sink of [sizes, parts]) {
      sink.takeFile({
        ...file,
        hash: Uint8Array.fromHex(hash),
        fileSizeBytes: -1,
        usedBytes,
        zeroes,
      })
    }
  }
  const settledNs = 'settledNs' in rest ? rest.settledNs : SETTLED
  const parent = { files: listed, sizes, settledNs }
  const isFile = (): boolean => true
  return { entries, copied: planCopies({ entries, isFile, parent, parts, pageBytes: PAGE, extension }) }
}

const copiedKeys = (...given: Parameters<typeof plan>): string[] =>
  plan(...given).copied.parts.map(({ source, name }) => `${source.key.replace(/.*\//, '')} => ${name}`)

test('a part is copied when nothing happened to any of its files', () => {
  expect(copiedKeys([A, B, C])).toEqual([
    'part_002.tar.lz4 => copy_0.tar.lz4',
    'part_003.tar.lz4 => copy_1.tar.lz4',
  ])
})

test('one file that changed, however little, has its whole part packed anew, and no other', () => {
  const changes: readonly FileSpec['now'][] = [
    { mtimeNs: LONG_AGO + 1n },
    { sizeBytes: 2 * PAGE },
    { ctimeNs: SETTLED - 1_000_000n },
    { ctimeNs: SETTLED + 1n },
    null,
  ]
  for (const now of changes) {
    expect(copiedKeys([A, { ...B, now: now! }, C])).toEqual(['part_003.tar.lz4 => copy_0.tar.lz4'])
  }
})

test('nothing is copied when it is not known when the earlier backup looked', () => {
  expect(copiedKeys([A, C], { settledNs: undefined })).toEqual([])
})

test('a part is copied only if parts are written with that extension now', () => {
  expect(copiedKeys([A, C], { extension: 'zst' })).toEqual([])
  expect(copiedKeys([A, C], { extension: '' })).toEqual([])
  expect(copiedKeys([{ ...A, part: 'part_002.tar' }], { extension: '' })).toEqual([
    'part_002.tar => copy_0.tar',
  ])
})

test('directories, the late parts, damaged files and names that stand twice are never copied', () => {
  expect(copiedKeys([A], { alsoIn: { [A.part]: '/base/5' } })).toEqual([])
  expect(copiedKeys([{ ...A, part: 'pg_control.tar.lz4' }])).toEqual([])
  expect(copiedKeys([{ ...A, part: 'backup_label.tar.lz4' }])).toEqual([])
  expect(copiedKeys([{ ...A, isCorrupt: true }, B, C])).toEqual(['part_003.tar.lz4 => copy_0.tar.lz4'])
})

test('a part with an increment in it, or with a name that another part has too, is not plain', () => {
  const listed = new FilesMetadata()
  const mtime = timestampFromNs(LONG_AGO)
  for (const { name } of [A, B]) listed.addFile({ name, isIncremented: false, isSkipped: false, mtime })
  const parts = new SourceParts(listed)
  const take = (name: string, object: number, fileSizeBytes = -1): void => {
    const bytes = new TextEncoder().encode(name)
    const hash = new Uint8Array(16)
    const place = { bytes, nameFrom: 0, nameTo: bytes.length, object }
    parts.takeFile({ ...place, sizeBytes: PAGE, hash, fileSizeBytes, usedBytes: -1, zeroes: undefined })
  }
  take(A.name, 0)
  take(A.name, 1)
  take(B.name, 2, 2 * PAGE)
  expect([0, 1, 2, 3].map(part => parts.isPlain(part))).toEqual([false, false, false, true])
})

test('the files of copied parts keep hash, used blocks, zero blocks and count of updates, and nobody is handed them', () => {
  const hash = 'fedcba9876543210000000000000000f'
  const zeroes = new Uint32Array([0, 1])
  const { entries, copied } = plan([
    { ...A, hash, updatesCount: 7n, usedBytes: 1, zeroes },
    { ...C, now: { sizeBytes: 2 * PAGE } },
  ])
  const files = new PackedFiles(entries, () => true, undefined, undefined, copied)
  expect([...files.indexes()].map(index => files.memberName(index))).toEqual([C.name])
  expect(files.totalBytes).toBe(2 * PAGE)
  const [index] = files.copied()
  expect(files.state(index!)).toBe('waiting')
  files.numberCopied(9)
  expect({
    state: files.state(index!),
    part: files.part(index!),
    hash: files.hash(index!),
    usedBlocks: files.usedBlocks(index!),
    zeroes: files.zeroes(index!),
    updatesCount: files.updatesCount(index!),
  }).toEqual({ state: 'packed', part: 9, hash, usedBlocks: 1, zeroes, updatesCount: 7n })
  expect(files.copiedParts()).toMatchObject([{ contentBytes: PAGE, source: { hash: A.part } }])
})
