import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '../kit/log.ts'
import { type DataDirectory, walkDataDirectory } from './data-directory.ts'

let base = ''
let root = ''
let warnings: string[] = []
const log = createLogger((level, message) => {
  if (level === 'WARNING') warnings.push(message)
})
const walk = (signal: AbortSignal = new AbortController().signal): Promise<DataDirectory> =>
  walkDataDirectory(root, { log, signal })
const put = (name: string, content = 'x'): void => {
  const path = join(root, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, content)
}
const names = (directory: DataDirectory): string[] =>
  Array.from({ length: directory.entries.count }, (_, index) => directory.entries.memberName(index))
const kindOf = (directory: DataDirectory, name: string): string | undefined => {
  const index = names(directory).indexOf(name)
  return index < 0 ? undefined : directory.entries.at(index).kind
}

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'walk-'))
  root = join(base, 'data')
  warnings = []
  put('global/pg_control', 'c'.repeat(8192))
  put('PG_VERSION', '15\n')
})
afterEach(() => rmSync(base, { recursive: true, force: true }))

describe('the walk of a data directory', () => {
  test('lists everything in the order of its bytes, a directory before what is in it', async () => {
    for (const name of ['base/5/2', 'base/5/10', 'base/5/1_vm', 'base.x', 'b', '\u{ff5e}', '\u{1f600}'])
      put(name)
    const found = names(await walk())
    expect(found).toEqual([
      '/',
      '/PG_VERSION',
      '/b',
      '/base',
      '/base/5',
      '/base/5/10',
      '/base/5/1_vm',
      '/base/5/2',
      '/base.x',
      '/global',
      '/\u{ff5e}',
      '/\u{1f600}',
    ])
  })

  test('keeps left-out directories empty and drops left-out files, at any depth', async () => {
    for (const name of [
      'pg_wal/000000010000000000000001',
      'base/pgsql_tmp/t1',
      'postmaster.pid',
      'x/standby.signal',
    ]) {
      put(name)
    }
    put('recovery.signal')
    put('log/postgresql.log')
    const found = names(await walk())
    expect(found).toEqual(
      expect.arrayContaining(['/pg_wal', '/base/pgsql_tmp', '/x', '/log', '/recovery.signal']),
    )
    for (const name of ['/pg_wal/000000010000000000000001', '/postmaster.pid', '/x/standby.signal']) {
      expect(found).not.toContain(name)
    }
  })

  test('sets pg_control aside and counts everything it met in the catalogue size', async () => {
    put('postmaster.pid', 'p'.repeat(100))
    const found = await walk()
    expect(found.controlFile).toMatchObject({ memberName: '/global/pg_control', sizeBytes: 8192 })
    expect(names(found)).not.toContain('/global/pg_control')
    expect(found.contentBytes).toBe(3)
    expect(found.catalogBytes).toBeGreaterThanOrEqual(8192 + 3 + 100)
  })

  test('keeps times to the nanosecond, modes with their special bits, and sizes', async () => {
    put('base/1/1259', 'y'.repeat(16_384))
    chmodSync(join(root, 'base/1'), 0o2750)
    spawnSync('touch', ['-d', '2026-01-02 03:04:05.123456789 UTC', join(root, 'base/1/1259')])
    const found = await walk()
    const file = found.entries.at(names(found).indexOf('/base/1/1259'))
    expect(file).toMatchObject({ kind: 'file', sizeBytes: 16_384, mtimeNs: 1767323045123456789n })
    expect(file.path).toBe(join(root, 'base/1/1259'))
    expect(found.entries.at(names(found).indexOf('/base/1')).mode).toBe(0o2750)
  })

  test('makes an empty directory of a symlinked pg_wal, so that the restored server starts', async () => {
    mkdirSync(join(base, 'wal'))
    symlinkSync(join(base, 'wal'), join(root, 'pg_wal'))
    const found = await walk()
    expect(kindOf(found, '/pg_wal')).toBe('directory')
    expect(warnings.join()).toContain('pg_wal')
  })

  test('stores what a symlinked file holds, as a regular file, and says so', async () => {
    writeFileSync(join(base, 'real.conf'), 'work_mem = 1GB\n')
    symlinkSync(join(base, 'real.conf'), join(root, 'postgresql.auto.conf'))
    const found = await walk()
    expect(kindOf(found, '/postgresql.auto.conf')).toBe('file')
    expect(found.links).toEqual([
      { memberName: '/postgresql.auto.conf', target: join(base, 'real.conf'), stored: 'content' },
    ])
    expect(warnings[0]).toContain('postgresql.auto.conf')
  })

  test("follows a link to a tree of the server's own, once, and no other link to a directory", async () => {
    put('base/1/1259')
    mkdirSync(join(base, 'fast'))
    writeFileSync(join(base, 'fast/2619'), 'z')
    symlinkSync(join(base, 'fast'), join(root, 'base/5'))
    symlinkSync(join(base, 'fast'), join(root, 'base/6'))
    symlinkSync(root, join(base, 'fast/loop'))
    symlinkSync(base, join(root, 'mine'))
    symlinkSync('/nonexistent', join(root, 'dangling'))
    const found = await walk()
    expect(names(found)).toContain('/base/5/2619')
    for (const name of ['/base/6', '/mine', '/dangling', '/base/5/loop'])
      expect(kindOf(found, name)).toBeUndefined()
    expect(found.links.filter(link => link.stored === 'nothing').length).toBe(4)
    expect(warnings.filter(warning => warning.includes('NOT in the backup')).length).toBe(4)
  })

  test('leaves sockets and FIFOs out with a warning each', async () => {
    spawnSync('mkfifo', [join(root, 'pipe')])
    const server = createServer().listen(join(root, '.s.PGSQL.5432'))
    await new Promise(resolve => server.once('listening', resolve))
    try {
      const found = await walk()
      expect(names(found)).toEqual(['/', '/PG_VERSION', '/global'])
      expect(warnings.map(warning => /socket|FIFO/.exec(warning)?.[0])).toEqual(['socket', 'FIFO'])
    } finally {
      server.close()
    }
  })

  test('goes on when files and directories vanish under its feet, and says so', async () => {
    for (const name of ['b/1', 'b/2', 'c/1', 'd']) put(name)
    spawnSync('mkfifo', [join(root, 'a'), join(root, 'b/0')])
    // the warning about a FIFO is the moment between listing and looking
    const vanishing = createLogger((_level, message) => {
      warnings.push(message)
      if (message.includes('/a"'))
        for (const name of ['c', 'd']) rmSync(join(root, name), { recursive: true })
      if (message.includes('/b/0"')) rmSync(join(root, 'b/1'))
    })
    const found = await walkDataDirectory(root, { log: vanishing, signal: new AbortController().signal })
    expect(names(found)).toEqual(['/', '/PG_VERSION', '/b', '/b/2', '/global'])
    expect(warnings.filter(warning => warning.includes('vanished')).length).toBe(3)
  })

  test('takes names with spaces, line ends and UTF-8, and refuses bytes that are none, naming them', async () => {
    for (const name of ['a b', 'line\nend', 'größe', 'replaced \ufffd']) put(name)
    expect(names(await walk())).toEqual(
      expect.arrayContaining(['/a b', '/line\nend', '/größe', '/replaced \ufffd']),
    )
    writeFileSync(Buffer.concat([Buffer.from(`${root}/bad`), Buffer.from([0xff, 0x80])]), 'x')
    await expect(walk()).rejects.toMatchObject({
      code: 'FORMAT_INVALID',
      message: expect.stringContaining('bad\\xff\\x80'),
    })
  })

  test('refuses a directory that is none of a cluster', async () => {
    rmSync(join(root, 'global/pg_control'))
    await expect(walk()).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    root = join(base, 'nowhere')
    await expect(walk()).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining('nowhere'),
    })
  })

  test('stops when it is told to', async () => {
    await expect(walk(AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  test('keeps a tree of thousands of files in bounded columns', async () => {
    for (let index = 0; index < 3000; index++) put(`base/9/${index}`, '')
    const found = await walk()
    expect(found.entries.count).toBe(3005)
    expect(found.entries.path(3003)).toBe(join(root, found.entries.memberName(3003)))
    expect(() => found.entries.memberName(3005)).toThrow(RangeError)
  })
})

describe('tablespaces', () => {
  const tablespace = (location: string, oid: string): void => {
    mkdirSync(join(location, 'PG_15_202209061/5'), { recursive: true })
    writeFileSync(join(location, 'PG_15_202209061/5', oid), 'data')
    mkdirSync(join(root, 'pg_tblspc'), { recursive: true })
    symlinkSync(location, join(root, 'pg_tblspc', oid))
  }

  test('are walked under the name of their link, which is no member itself', async () => {
    tablespace(join(base, 'space'), '16400')
    const found = await walk()
    expect(found.tablespaces).toEqual([
      { oid: '16400', location: join(base, 'space'), isInsideDataDirectory: false },
    ])
    expect(names(found).filter(name => name.startsWith('/pg_tblspc'))).toEqual([
      '/pg_tblspc',
      '/pg_tblspc/16400/PG_15_202209061',
      '/pg_tblspc/16400/PG_15_202209061/5',
      '/pg_tblspc/16400/PG_15_202209061/5/16400',
    ])
    const index = names(found).indexOf('/pg_tblspc/16400/PG_15_202209061/5/16400')
    expect(found.entries.path(index)).toBe(join(base, 'space/PG_15_202209061/5/16400'))
  })

  test('inside the data directory are walked once, under their physical path', async () => {
    tablespace(join(root, 'inner'), '16401')
    const found = await walk()
    expect(found.tablespaces[0]).toMatchObject({ oid: '16401', isInsideDataDirectory: true })
    expect(names(found).filter(name => name.endsWith('/16401'))).toEqual(['/inner/PG_15_202209061/5/16401'])
  })

  test('inside one another, or around the data directory, are walked once each', async () => {
    tablespace(base, '16402')
    tablespace(join(base, 'nested'), '16403')
    const found = await walk()
    expect(names(found).filter(name => /\/1640[23]$/.test(name))).toEqual([
      '/pg_tblspc/16402/PG_15_202209061/5/16402',
      '/pg_tblspc/16403/PG_15_202209061/5/16403',
    ])
    expect(names(found).filter(name => name.endsWith('/PG_VERSION'))).toEqual(['/PG_VERSION'])
  })

  test('in place are ordinary directories; one whose target is gone is recorded with a warning', async () => {
    put('pg_tblspc/16404/PG_15_202209061/5/1')
    symlinkSync(join(base, 'gone'), join(root, 'pg_tblspc/16405'))
    const found = await walk()
    expect(names(found)).toContain('/pg_tblspc/16404/PG_15_202209061/5/1')
    expect(found.tablespaces).toEqual([
      { oid: '16405', location: join(base, 'gone'), isInsideDataDirectory: false },
    ])
    expect(warnings[0]).toContain('16405')
  })
})

describe('a data directory with something unreadable', () => {
  /** Root may read everything: then the walk runs as somebody else for a while. */
  const walkAsOther = async (): Promise<DataDirectory> => {
    chmodSync(base, 0o755)
    if (process.geteuid?.() !== 0) return await walk()
    process.seteuid?.(65534)
    try {
      return await walk()
    } finally {
      process.seteuid?.(0)
    }
  }

  test('is refused before anything is sent, naming every file and directory', async () => {
    put('base/1/secret')
    put('base/2/x')
    chmodSync(join(root, 'base/1/secret'), 0)
    chmodSync(join(root, 'base/2'), 0)
    const refused = walkAsOther()
    await expect(refused).rejects.toMatchObject({ code: 'FILE_ACCESS' })
    chmodSync(join(root, 'base/2'), 0o755)
    const message = await refused.catch(error => String(error.message))
    expect(message).toContain('base/1/secret"')
    expect(message).toContain('base/2"')
  })

  test('only minds what is PostgreSQL’s: lost+found of another owner is kept empty', async () => {
    mkdirSync(join(root, 'lost+found'), { mode: 0 })
    const found = await walkAsOther()
    chmodSync(join(root, 'lost+found'), 0o755)
    expect(names(found)).toEqual(['/', '/PG_VERSION', '/global', '/lost+found'])
    expect(warnings[0]).toContain('lost+found')
  })
})

test('the time of a file is the one before its content is read', async () => {
  put('base/1/1', 'a')
  utimesSync(join(root, 'base/1/1'), 1_000_000_000, 1_000_000_000)
  const found = await walk()
  expect(found.entries.mtimeNs(names(found).indexOf('/base/1/1'))).toBe(1_000_000_000_000_000_000n)
})
