import { afterAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeTarHeader, TAR_END_BYTES, type TarMember, tarHeaderBytes, tarPaddingBytes } from './pack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tar-pack-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const plain: TarMember = {
  name: '/base/1/1259',
  kind: 'file',
  sizeBytes: 0,
  mode: 0o100600,
  uid: 999,
  gid: 998,
  mtimeNs: 1_700_000_000_000_000_000n,
}

function archive(
  members: readonly { readonly member: TarMember; readonly content?: Uint8Array }[],
): Uint8Array {
  const chunks: Uint8Array[] = []
  for (const { member, content = new Uint8Array(0) } of members) {
    const header = new Uint8Array(tarHeaderBytes(member))
    expect(encodeTarHeader(header, 0, member)).toBe(header.length)
    chunks.push(header, content, new Uint8Array(tarPaddingBytes(content.length)))
  }
  chunks.push(new Uint8Array(TAR_END_BYTES))
  return new Uint8Array(Buffer.concat(chunks))
}

function tarList(bytes: Uint8Array, ...flags: string[]): string {
  const path = join(folder, 'x.tar')
  writeFileSync(path, bytes)
  const run = spawnSync(
    'tar',
    ['--quoting-style=escape', '-P', '--numeric-owner', '--full-time', ...flags, '-tvf', path],
    {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
    },
  )
  expect(run.stderr).toBe('')
  expect(run.status).toBe(0)
  return run.stdout
}

function field(bytes: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(bytes.subarray(at, at + length)).replace(/\0.*$/s, '')
}

describe('tar headers', () => {
  test('system tar reads name, mode, owner, size and time', () => {
    const content = new TextEncoder().encode('hello')
    const listing = tarList(
      archive([
        { member: { ...plain, name: '/', kind: 'directory', mode: 0o40700 } },
        { member: { ...plain, sizeBytes: 5 }, content },
        { member: { ...plain, name: '/link', kind: 'symlink', linkName: 'link', mode: 0o777 } },
        { member: { ...plain, name: '/pipe', kind: 'fifo' } },
      ]),
    )
    expect(listing.trimEnd().split('\n')).toEqual([
      'drwx------ 999/998           0 2023-11-14 22:13:20 /',
      '-rw------- 999/998           5 2023-11-14 22:13:20 /base/1/1259',
      'lrwxrwxrwx 999/998           0 2023-11-14 22:13:20 /link -> link',
      'prw------- 999/998           0 2023-11-14 22:13:20 /pipe',
    ])
  })

  test('an ordinary name takes one USTAR block with the magic and without owner names', () => {
    const header = archive([{ member: plain }])
    expect(tarHeaderBytes(plain)).toBe(512)
    expect(new TextDecoder().decode(header.subarray(257, 265))).toBe('ustar\x0000')
    expect(field(header, 100, 8)).toBe('0000600')
    expect(field(header, 265, 32)).toBe('')
    expect(field(header, 297, 32)).toBe('')
  })

  test('a long path is split into prefix and name where USTAR can', () => {
    const name = `/${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(60)}`
    const bytes = archive([{ member: { ...plain, name } }])
    expect(tarHeaderBytes({ ...plain, name })).toBe(512)
    expect(field(bytes, 345, 155)).toBe(`/${'d'.repeat(60)}/${'e'.repeat(60)}`)
    expect(tarList(bytes)).toContain(name)
  })

  for (const [title, name] of [
    ['a component of 200 characters', `/${'x'.repeat(200)}`],
    ['a Cyrillic name', '/таблица'],
    ['a name with spaces and a newline', '/a b\nc'],
    ['a name of 100 characters', `/${'y'.repeat(99)}`],
    ['a name of 101 characters whose only slash is the first', `/${'y'.repeat(100)}`],
    ['a path of 256 characters', `/${'p'.repeat(154)}/${'q'.repeat(99)}`],
    ['a path of 300 characters', `/${'p'.repeat(99)}/${'p'.repeat(99)}/${'q'.repeat(98)}`],
  ] as const) {
    test(`system tar reads ${title}`, () => {
      const listing = tarList(
        archive([{ member: { ...plain, name } }, { member: plain }]),
        '--show-stored-names',
      )
      expect(listing).toContain(name.replace('\n', '\\n'))
      expect(listing.trimEnd().split('\n')).toHaveLength(2)
    })
  }

  test('a file of 8 GiB, huge ids and a time before 1970 are told in PAX records', () => {
    const member: TarMember = {
      ...plain,
      sizeBytes: 8 * 1024 ** 3,
      uid: 4_000_000_000,
      gid: 3_000_000_000,
      mtimeNs: -1_500_000_000n,
    }
    const header = new Uint8Array(tarHeaderBytes(member))
    encodeTarHeader(header, 0, member)
    expect(field(header, 512, 512)).toBe(
      '18 gid=3000000000\n12 mtime=-1\n19 size=8589934592\n18 uid=4000000000\n',
    )
    expect(header.length).toBe(1536)
  })

  test('times are rounded to the nearest second, halves up', () => {
    for (const [mtimeNs, text] of [
      [1_499_999_999n, '00000000001'],
      [1_500_000_000n, '00000000002'],
      [0n, '00000000000'],
    ] as const) {
      expect(field(archive([{ member: { ...plain, mtimeNs } }]), 136, 12)).toBe(text)
    }
  })

  test('a header is written at any offset and touches nothing else', () => {
    const into = new Uint8Array(2048).fill(0xaa)
    encodeTarHeader(into, 700, plain)
    expect(into.subarray(0, 700).every(byte => byte === 0xaa)).toBe(true)
    expect(into.subarray(1212).every(byte => byte === 0xaa)).toBe(true)
    expect(field(into, 700, 100)).toBe(plain.name)
  })

  test('a header that does not fit is refused before anything is written', () => {
    const into = new Uint8Array(600).fill(0xaa)
    expect(() => encodeTarHeader(into, 100, plain)).toThrow(RangeError)
    expect(() => encodeTarHeader(into, 0, { ...plain, name: '/ä' })).toThrow(RangeError)
    expect(into.every(byte => byte === 0xaa)).toBe(true)
  })
})
