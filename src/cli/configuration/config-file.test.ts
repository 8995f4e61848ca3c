import { describe, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findDefaultConfig, readConfigFile } from './config-file.ts'
import { passwdHome } from './passwd-home.ts'

async function read(name: string, text: string): Promise<Record<string, string>> {
  using directory = temp()
  const path = join(directory.path, name)
  writeFileSync(path, text)
  return Object.fromEntries((await readConfigFile(path)).values)
}

function temp(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'wal-g-config-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

const EXPECTED = {
  WALG_FILE_PREFIX: '/backups',
  PGPORT: '5433',
  PG_READY_RENAME: 'true',
  WALG_PREFETCH_DIR: '/with space',
}

describe('a config file', () => {
  test('means the same as json, yaml, toml and env, whatever the case of its keys', async () => {
    const json =
      '\uFEFF{"walg_file_prefix": "/backups", "PGPORT": 5433, "Pg_Ready_Rename": true, "WALG_PREFETCH_DIR": "/with space"}'
    const yaml =
      '# c\nwalg_file_prefix: /backups\nPGPORT: 5433\nPg_Ready_Rename: true\nWALG_PREFETCH_DIR: "/with space"\n'
    const toml =
      'walg_file_prefix = "/backups"\nPGPORT = 5433\nPg_Ready_Rename = true\nWALG_PREFETCH_DIR = "/with space"\n'
    const env =
      "# c\nwalg_file_prefix=/backups # c\nexport PGPORT=5433\r\nPg_Ready_Rename: true\nWALG_PREFETCH_DIR='/with space'\n"
    expect(await read('a.json', json)).toEqual(EXPECTED)
    expect(await read('a.yaml', yaml)).toEqual(EXPECTED)
    expect(await read('a.yml', yaml)).toEqual(EXPECTED)
    expect(await read('a.toml', toml)).toEqual(EXPECTED)
    expect(await read('.walg.env', env)).toEqual(EXPECTED)
    expect(await read('.walg.dotenv', env)).toEqual(EXPECTED)
  })

  test('keeps every digit of a number', async () => {
    const digits = '12345678901234567890'
    expect(await read('a.json', `{"A": ${digits}}`)).toEqual({ A: digits })
    expect(await read('a.toml', 'A = 9007199254740993')).toEqual({ A: '9007199254740993' })
    expect(await read('a.yaml', 'A: 0123\nB: 1e3\n')).toEqual({ A: '0123', B: '1e3' })
  })

  test('may nest values, which arrive as JSON, and may be empty', async () => {
    expect(await read('a.yaml', 'A:\n  b: c\n')).toEqual({ A: '{"b":"c"}' })
    for (const name of ['a.yaml', 'a.toml', 'a.env']) expect(await read(name, '')).toEqual({})
  })

  test('expands variables in env files outside of single quotes', async () => {
    const values = await read('a.env', ['A=x', 'B=$' + '{A}/y', 'C="$A\\n\\$A"', "D='$A'"].join('\n'))
    expect(values).toEqual({ A: 'x', B: 'x/y', C: 'x\n$A', D: '$A' })
  })

  test('that cannot be parsed is an error that does not quote the file', async () => {
    const broken: [string, string][] = [
      ['a.json', '{"WALG_PGP_KEY": "hunter2",}'],
      ['a.json', '{"WALG_PGP_KEY": hunter2}'],
      ['a.yaml', 'A: "hunter2\nB: [c\n'],
      ['a.toml', 'PGPASSWORD = hunter2'],
      ['a.env', 'hunter2'],
      ['a.json', '["hunter2"]'],
      ['a.json', '{"a": 1, "A": 2}'],
    ]
    for (const [name, text] of broken) {
      const error = await read(name, text).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: 'FORMAT_INVALID' })
      const { message, cause } = error as Error
      expect(`${message} ${cause}`).not.toContain('hunter2')
    }
  })

  test('that is missing, unreadable or of unknown kind is an error with its path', async () => {
    using directory = temp()
    const path = join(directory.path, 'none.json')
    expect(await readConfigFile(path).catch((caught: unknown) => caught)).toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining(path),
    })
    const ini = join(directory.path, 'a.ini')
    writeFileSync(ini, '')
    expect(await readConfigFile(ini).catch((caught: unknown) => caught)).toMatchObject({
      code: 'FORMAT_UNSUPPORTED',
    })
    if (process.getuid?.() === 0) return
    chmodSync(ini, 0)
    expect(await readConfigFile(ini).catch((caught: unknown) => caught)).toMatchObject({
      code: 'FILE_ACCESS',
    })
  })
})

describe('the default config file', () => {
  test('is the first of json, toml, yaml, yml, dotenv and env', () => {
    using directory = temp()
    expect(findDefaultConfig(directory.path)).toEqual({})
    for (const extension of ['env', 'dotenv', 'yml', 'yaml', 'toml', 'json']) {
      const path = join(directory.path, `.walg.${extension}`)
      writeFileSync(path, '')
      expect(findDefaultConfig(directory.path)).toEqual({ path })
    }
  })

  test('in a place that cannot be looked at is told from none', () => {
    using directory = temp()
    const loop = join(directory.path, 'home')
    symlinkSync(loop, loop)
    expect(findDefaultConfig(loop)).toEqual({ hidden: expect.stringContaining('look for config file') })
    expect(findDefaultConfig(join(directory.path, 'nowhere'))).toEqual({})
  })

  test('lies in the home of the user database, and in $HOME only for a user that it does not know', () => {
    using directory = temp()
    const passwd = join(directory.path, 'passwd')
    writeFileSync(passwd, 'root:x:0:0::/root-home:/bin/sh\npostgres:x:26:26:a,b:/var/lib/pgsql:/bin/sh\n')
    expect(passwdHome(26, '/elsewhere', passwd)).toBe('/var/lib/pgsql')
    expect(passwdHome(27, '/elsewhere', passwd)).toBe('/elsewhere')
    expect(passwdHome(26, '/elsewhere', join(directory.path, 'absent'))).toBe('/elsewhere')
    expect(passwdHome(27, undefined, passwd)).toBeUndefined()
  })
})
