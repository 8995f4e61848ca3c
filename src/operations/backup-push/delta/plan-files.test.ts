import { describe, expect, test } from 'bun:test'
import type { ChangedPages, FileChanges } from '../../../delta/changed-pages.ts'
import type { ParentFile } from '../../../delta/page-selection.ts'
import { timestampFromNs } from '../../../kit/timestamp.ts'
import { DataEntryColumns } from '../../../postgres/walk/data-entries.ts'
import { FilesMetadata } from '../../../repository/files-metadata.ts'
import { type Doubt, DoubtfulDatabases } from './doubtful-databases.ts'
import type { FilePlan } from './file-plan.ts'
import { movedDatabases, sameDatabases } from './new-databases.ts'
import { ParentSizes } from './parent/parent-files.ts'
import { planFiles } from './plan-files.ts'

const PAGE = 8192
const SETTLED = 1_700_000_000_500_000_000n
const LONG_AGO = SETTLED - 3_600_000_000_000n

interface FileSpec {
  readonly name: string
  readonly sizeBytes?: number
  readonly mtimeNs?: bigint
  readonly ctimeNs?: bigint
  /** In the parent; default: like the file. */
  readonly parentTimeNs?: bigint | null
  readonly parent?: ParentFile
  /** The parent has damaged pages of it. */
  readonly isCorrupt?: boolean
}

class SizesOfTest extends ParentSizes {
  readonly known = new Map<number, ParentFile>()
  override at(index: number): ParentFile | undefined {
    return this.known.get(index)
  }
}

function plan(
  files: readonly FileSpec[],
  changed?: ChangedPages,
  settledNs: bigint | undefined = SETTLED,
  movedIn?: ReadonlySet<string>,
  same?: ReadonlySet<number>,
  doubtful?: DoubtfulDatabases,
) {
  const entries = new DataEntryColumns()
  const listed = new FilesMetadata()
  const parents: [string, ParentFile][] = []
  const isTold = files.some(({ name }) => name === '/PG_VERSION')
  const told: readonly FileSpec[] = isTold ? files : [...files, { name: '/PG_VERSION' }]
  for (const file of told) {
    const { name, sizeBytes = PAGE, mtimeNs = LONG_AGO, ctimeNs = mtimeNs, parentTimeNs, parent } = file
    const cut = name.lastIndexOf('/')
    const place = entries.addPlace(`/data${name.slice(0, cut)}`, name.slice(0, cut))
    entries.add(place, name.slice(cut + 1), {
      kind: 'file',
      sizeBytes,
      mode: 0o600,
      uid: 0,
      gid: 0,
      mtimeNs,
      ctimeNs,
    })
    if (parentTimeNs === null) continue
    const mtime = timestampFromNs(parentTimeNs ?? mtimeNs)
    const corruptBlocks = file.isCorrupt ? { count: 1, some: [0] } : undefined
    listed.addFile({ name, isIncremented: false, isSkipped: false, mtime, corruptBlocks })
    if (parent !== undefined) parents.push([name, parent])
  }
  const sizes = new SizesOfTest(listed, PAGE)
  for (const [name, parent] of parents) sizes.known.set(listed.find(name), parent)
  const made = planFiles({
    entries,
    isFile: () => true,
    parent: { files: listed, sizes, isFull: true, settledNs },
    pageBytes: PAGE,
    changed,
    movedIn,
    same,
    doubtful,
  })
  return { made, of: (name: string) => methodOf(entries, made, name) }
}

function methodOf(entries: DataEntryColumns, made: FilePlan, name: string): string {
  for (let index = 0; index < entries.count; index++) {
    if (entries.memberName(index) === name) return made.method(index)
  }
  return 'no such file'
}

const keyed = <Row>([oid, row]: [string, Row]): [number, Row] => [Number(oid), row]

const one = (file: Omit<FileSpec, 'name'> & { name?: string }): string => {
  const name = file.name ?? '/base/5/16384'
  return plan([{ name: '/PG_VERSION' }, { ...file, name }]).of(name)
}

describe('what becomes of the files of a delta', () => {
  test('an unchanged file is skipped, of whatever kind', () => {
    expect(one({})).toBe('skip')
    expect(one({ name: '/pg_xact/0000' })).toBe('skip')
    expect(one({ name: '/base/5/16384', sizeBytes: 0 })).toBe('skip')
  })

  test('another time, to the nanosecond, is a change', () => {
    expect(one({ mtimeNs: LONG_AGO, parentTimeNs: LONG_AGO + 1n })).toBe('scan')
    expect(one({ mtimeNs: LONG_AGO, parentTimeNs: LONG_AGO - 1n, name: '/pg_xact/0000' })).toBe('whole')
    expect(one({ mtimeNs: LONG_AGO, parentTimeNs: LONG_AGO - 1n, name: '/base/5/16384_fsm' })).toBe('whole')
  })

  test('a file that was written while the parent was taken is read again', () => {
    expect(one({ mtimeNs: SETTLED + 1n })).toBe('scan')
    expect(one({ mtimeNs: SETTLED - 1n })).toBe('scan') // within one tick of the clock
    expect(one({ mtimeNs: SETTLED - 30_000_000n })).toBe('skip')
    // whole seconds: the file system keeps no more
    const second = (SETTLED / 1_000_000_000n) * 1_000_000_000n
    expect(one({ mtimeNs: second })).toBe('scan')
    expect(one({ mtimeNs: second - 3_000_000_000n })).toBe('skip')
  })

  test('a time that somebody has set back proves nothing', () => {
    expect(one({ mtimeNs: LONG_AGO, ctimeNs: SETTLED + 5n })).toBe('scan')
  })

  test('another size than the parent had is a change whatever the times say', () => {
    expect(one({ parent: { blocks: 2, usedBlocks: 2 } })).toBe('scan')
    expect(one({ parent: { blocks: 1, usedBlocks: 1 } })).toBe('skip')
  })

  test('without knowing when the parent looked nothing is skipped', () => {
    const { of } = plan([{ name: '/base/5/1' }, { name: '/pg_xact/0000' }], undefined, null as never)
    expect([of('/base/5/1'), of('/pg_xact/0000')]).toEqual(['scan', 'whole'])
  })

  test('a file that the parent does not have is stored whole, and so is what is no file of pages', () => {
    expect(one({ parentTimeNs: null })).toBe('whole')
    const changed = { mtimeNs: SETTLED + 1n }
    for (const name of ['/global/1262', '/base/5/t3_16384', '/base/5/16384_vm', '/base/5/pg_filenode.map']) {
      expect([name, one({ ...changed, name })]).toEqual([name, 'whole'])
    }
    expect(one({ ...changed, sizeBytes: PAGE + 1 })).toBe('whole')
    expect(one({ ...changed, name: '/pg_tblspc/16400/PG_15_202209061/5/16401.1' })).toBe('scan')
  })

  test('relations with an init fork are unlogged: stored whole', () => {
    const changed = { mtimeNs: SETTLED + 1n }
    const { of } = plan([
      { name: '/base/5/16384', ...changed },
      { name: '/base/5/16384.1', ...changed },
      { name: '/base/5/16384_init' },
      { name: '/base/6/16384', ...changed },
    ])
    expect([of('/base/5/16384'), of('/base/5/16384.1'), of('/base/6/16384')]).toEqual([
      'whole',
      'whole',
      'scan',
    ])
  })

  test('a database made anew under its number is stored whole, in every tablespace', () => {
    const changed = { mtimeNs: SETTLED + 1n }
    const files: FileSpec[] = [
      { name: '/PG_VERSION' },
      { name: '/base/5/PG_VERSION', mtimeNs: SETTLED + 9n, parentTimeNs: LONG_AGO },
      { name: '/base/5/1259', ...changed },
      { name: '/pg_tblspc/16400/PG_15_202209061/5/16401', ...changed },
      { name: '/base/6/PG_VERSION' },
      { name: '/base/6/1259', ...changed },
    ]
    // the server knows it under the same number, at the same place
    const { of } = plan(files, undefined, SETTLED, new Set())
    expect(of('/base/5/1259')).toBe('whole')
    expect(of('/pg_tblspc/16400/PG_15_202209061/5/16401')).toBe('whole')
    expect(of('/base/6/1259')).toBe('scan')
    // a copy of the whole cluster: every file has a new time, and the old pages
    const copied = { name: '/PG_VERSION', mtimeNs: SETTLED + 9n, parentTimeNs: LONG_AGO }
    const copy = plan([copied, ...files.slice(1)], undefined, SETTLED, new Set(), new Set([5, 6]))
    expect(copy.of('/base/5/1259')).toBe('scan')
  })

  const RESTORED: readonly FileSpec[] = [
    { name: '/PG_VERSION', mtimeNs: SETTLED + 9n, parentTimeNs: LONG_AGO },
    ...['/base/5', '/base/16390', '/pg_tblspc/16400/PG_15_202209061/16390'].flatMap(folder => [
      { name: `${folder}/PG_VERSION`, mtimeNs: SETTLED + 9n, parentTimeNs: LONG_AGO },
      { name: `${folder}/1259`, mtimeNs: SETTLED + 9n, parentTimeNs: LONG_AGO },
    ]),
  ]

  test('in a restored cluster a database with another row than the parent saw is stored whole, in every tablespace', () => {
    const { of } = plan(RESTORED, undefined, SETTLED, new Set(), new Set([5]))
    expect(of('/base/5/1259')).toBe('scan')
    expect(of('/base/16390/1259')).toBe('whole')
    expect(of('/pg_tblspc/16400/PG_15_202209061/16390/1259')).toBe('whole')
    // nobody tells: initdb's own are never made again
    expect(plan(RESTORED).of('/base/16390/1259')).toBe('whole')
    expect(plan(RESTORED).of('/base/5/1259')).toBe('scan')
    expect(plan(RESTORED, undefined, SETTLED, new Set(), new Set()).of('/base/5/1259')).toBe('whole')
    // where times tell, the row does not count: GRANT writes another one
    const inPlace = [{ name: '/PG_VERSION' }, { name: '/base/16390/PG_VERSION' }, RESTORED[4]!]
    expect(plan(inPlace, undefined, SETTLED, new Set(), new Set()).of('/base/16390/1259')).toBe('scan')
    const row = (xmin?: number) => ({ tablespace: 1663, ...(xmin === undefined ? {} : { xmin }) })
    const before = new Map(Object.entries({ 5: row(3), 6: row(700), 7: row() }).map(keyed))
    const now = new Map(Object.entries({ 5: row(3), 6: row(701), 7: row(), 8: row(9) }).map(keyed))
    expect(sameDatabases(before, now)).toEqual(new Set([5]))
    expect(sameDatabases(new Map([[5, row()]]), now)).toBeUndefined()
    expect(sameDatabases(undefined, now)).toBeUndefined()
    expect(sameDatabases(before, undefined)).toBeUndefined()
  })

  test('the log says which databases a restored cluster stores whole, what that costs, and why', () => {
    const told = (reason: Doubt, doubtful = new DoubtfulDatabases()): string[] => {
      const messages: string[] = []
      doubtful.tell({ info: message => messages.push(message) }, 'base_1', reason)
      return messages
    }
    const doubtful = new DoubtfulDatabases()
    plan(RESTORED, undefined, SETTLED, new Set(), new Set([5]), doubtful)
    expect(told('other rows', doubtful)).toEqual([
      'Stored whole: 16.0 KiB, in the databases with oid 16390. The data directory was restored or copied since base_1, ' +
        'and they were created again or altered since; the next delta will be small again',
    ])
    for (const oid of [9, 1, 8, 2, 7, 3]) doubtful.add(oid, PAGE)
    expect(told('no record', doubtful)[0]).toMatch(
      /64\.0 KiB.* oid 1, 2, 3, 7, 8 and 2 more\. .* does not tell/,
    )
    expect(told('no server', doubtful)[0]).toContain('no server says')
    expect(told('other rows')).toEqual([])
  })

  test('a file in which the parent saw damaged pages is stored whole: a mended one may be old, and one that stays damaged is told again', () => {
    const changed = { mtimeNs: SETTLED + 1n, parentTimeNs: LONG_AGO }
    const files = [
      { name: '/base/5/16384', ...changed, isCorrupt: true },
      { name: '/base/5/16385', ...changed },
      { name: '/base/5/16386', isCorrupt: true },
    ]
    const { of } = plan(files)
    expect(files.map(({ name }) => of(name))).toEqual(['whole', 'scan', 'whole'])
  })

  test('a database that was moved or made since the parent began is stored whole where it lies now, and no other', () => {
    const changed = { mtimeNs: SETTLED + 1n }
    const files: FileSpec[] = [
      { name: '/PG_VERSION' },
      { name: '/base/5/PG_VERSION' },
      { name: '/base/5/1259', ...changed },
      { name: '/pg_tblspc/16400/PG_15_202209061/5/PG_VERSION', parentTimeNs: null },
      { name: '/pg_tblspc/16400/PG_15_202209061/5/1259', ...changed },
    ]
    const { of } = plan(files, undefined, SETTLED, new Set(['16400/5']))
    expect(of('/base/5/1259')).toBe('scan')
    expect(of('/pg_tblspc/16400/PG_15_202209061/5/1259')).toBe('whole')
    // in one that only has more tables there now, nothing is suspect
    expect(plan(files, undefined, SETTLED, new Set()).of('/pg_tblspc/16400/PG_15_202209061/5/1259')).toBe(
      'scan',
    )
    const homes = (places: Record<number, number>) =>
      new Map(Object.entries(places).map(([oid, tablespace]) => [Number(oid), { tablespace }]))
    const before = homes({ 5: 1663, 6: 1663, 7: 1663 })
    const now = homes({ 5: 16400, 6: 1663, 8: 1663 })
    expect(movedDatabases(before, now)).toEqual(new Set(['16400/5', '1663/8']))
  })

  test('where no server was asked, a database is suspect whose folder is younger than the look of the parent', () => {
    const young = { mtimeNs: LONG_AGO, ctimeNs: SETTLED }
    const files: FileSpec[] = [
      { name: '/PG_VERSION' },
      { name: '/base/5/PG_VERSION', ...young },
      { name: '/base/5/1259', mtimeNs: SETTLED + 1n },
      { name: '/base/6/PG_VERSION' },
      { name: '/base/6/1259', mtimeNs: SETTLED + 1n },
    ]
    expect(plan(files).of('/base/5/1259')).toBe('whole')
    expect(plan(files).of('/base/6/1259')).toBe('scan')
    // a restored cluster is young everywhere
    expect(plan([{ name: '/PG_VERSION', ...young }, ...files.slice(1)]).of('/base/5/1259')).toBe('scan')
  })
})

describe('with a block map', () => {
  const mapOf = (changes: FileChanges): ChangedPages => ({ source: 'test', changesOf: () => changes })

  test('of a database in a restored cluster that may be another than in the parent, what it knows is believed', () => {
    const changed = { mtimeNs: SETTLED + 9n, parentTimeNs: LONG_AGO }
    const files = [
      { name: '/PG_VERSION', ...changed },
      { name: '/base/6/1259', ...changed },
    ]
    const of = (changes: FileChanges): string =>
      plan(files, mapOf(changes), SETTLED, new Set(), new Set()).of('/base/6/1259')
    expect(of(new Uint32Array([0]))).toBe('blocks')
    expect(of('replaced')).toBe('whole')
    expect(of('unknown')).toBe('whole')
  })

  const planned = (changes: FileChanges, parent: ParentFile | undefined, blocks = 4) => {
    const file = { name: '/base/5/16384', sizeBytes: blocks * PAGE, mtimeNs: SETTLED + 1n }
    const { made } = plan([parent === undefined ? file : { ...file, parent }], mapOf(changes))
    return made.method(0) === 'blocks' ? [...made.blocks(0)!] : made.method(0)
  }

  test('only what it names is read, and what lies behind the end of the parent', () => {
    expect(planned(new Uint32Array([1, 3]), { blocks: 4, usedBlocks: 4 })).toEqual([1, 3])
    expect(planned(new Uint32Array([1]), { blocks: 2, usedBlocks: 2 })).toEqual([1, 2, 3])
    expect(planned(new Uint32Array([1, 9]), { blocks: 4, usedBlocks: 4 })).toEqual([1])
    expect(planned(new Uint32Array([1, 9]), undefined)).toEqual([1])
  })

  test('no changed block is a skipped file only when the size is the same', () => {
    const none = new Uint32Array(0)
    expect(planned(none, { blocks: 4, usedBlocks: 4 })).toBe('skip')
    expect(planned(none, { blocks: 6, usedBlocks: 6 })).toEqual([])
    expect(planned(none, undefined)).toEqual([])
  })

  test('what it does not know is read, what was replaced is stored whole', () => {
    expect(planned('unknown', undefined)).toBe('scan')
    expect(planned('replaced', { blocks: 4, usedBlocks: 4 })).toBe('whole')
  })
})
