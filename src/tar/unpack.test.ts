import { afterAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { hasCode } from '../kit/errors.ts'
import { encodeTarHeader, TAR_END_BYTES, type TarMember, tarHeaderBytes, tarPaddingBytes } from './pack.ts'
import { createTarReader } from './unpack.ts'

const folder = mkdtempSync(join(tmpdir(), 'tar-unpack-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const seed = Number(process.env['SEED'] ?? '20261122')

interface Unpacked {
  readonly name: string
  readonly kind: string
  readonly mode: number
  readonly mtimeSeconds: number
  readonly linkName: string
  readonly nameBytes: Uint8Array | undefined
  readonly content: string
}

function unpack(bytes: Uint8Array, blockBytes = bytes.length || 1): Unpacked[] {
  const reader = createTarReader('x.tar')
  const members: Unpacked[] = []
  let content: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += blockBytes) {
    reader.feed(bytes.subarray(at, at + blockBytes))
    for (let step = reader.step(); step !== 'need-block'; step = reader.step()) {
      if (step === 'member') content = []
      else if (step === 'data') content.push(reader.data.slice())
      else {
        const { name, kind, mode, mtimeSeconds, linkName, nameBytes } = reader.member
        members.push({
          name,
          kind,
          mode,
          mtimeSeconds,
          linkName,
          nameBytes,
          content: Buffer.concat(content).toString('latin1'),
        })
      }
    }
  }
  reader.finish()
  return members
}

function member(name: string, sizeBytes: number, more: Partial<TarMember> = {}): TarMember {
  return {
    name,
    kind: 'file',
    sizeBytes,
    mode: 0o600,
    uid: 0,
    gid: 0,
    mtimeNs: 1_700_000_000_000_000_000n,
    ...more,
  }
}

function packed(name: string, content: string | Uint8Array, more: Partial<TarMember> = {}): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content
  const head = member(name, bytes.length, more)
  const whole = new Uint8Array(tarHeaderBytes(head) + bytes.length + tarPaddingBytes(bytes.length))
  whole.set(bytes, encodeTarHeader(whole, 0, head))
  return whole
}

const END = new Uint8Array(TAR_END_BYTES)
const join2 = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
const codeOf = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    return hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED', 'FORMAT_UNSUPPORTED')
      ? error.code
      : String(error)
  }
  return 'none'
}

describe('reading tar', () => {
  test('gives back what was packed, however the stream is cut into blocks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.stringMatching(/^[a-z0-9 é]{1,120}$/), fc.uint8Array({ maxLength: 1500 })), {
          maxLength: 6,
        }),
        fc.integer({ min: 1, max: 1200 }),
        (files, blockBytes) => {
          const bytes = join2(...files.map(([name, content]) => packed(`/${name}`, content)), END)
          const seen = unpack(bytes, blockBytes).map(one => [one.name, one.content])
          expect(seen).toEqual(
            files.map(([name, content]) => [`/${name}`, Buffer.from(content).toString('latin1')]),
          )
        },
      ),
      { seed, numRuns: 150 },
    )
  })

  for (const format of ['ustar', 'gnu', 'pax', 'oldgnu', 'v7']) {
    test(`reads what system tar writes as ${format}`, () => {
      const root = join(folder, format)
      mkdirSync(join(root, 'dir/deep'), { recursive: true })
      const long = format === 'v7' ? 'long' : 'l'.repeat(format === 'ustar' ? 100 : 180)
      writeFileSync(join(root, 'dir', long), 'content of long')
      writeFileSync(join(root, 'dir/deep/empty'), '')
      const run = spawnSync(
        'tar',
        [`--format=${format}`, '--mode=0640', '--mtime=@1700000000.25', '-cf', '-', 'dir'],
        {
          cwd: root,
        },
      )
      const seen = unpack(run.stdout, 100)
      expect(seen.map(one => [one.name, one.kind, one.content]).sort()).toEqual(
        [
          ['dir/', 'directory', ''],
          [`dir/${long}`, 'file', 'content of long'],
          ['dir/deep/', 'directory', ''],
          ['dir/deep/empty', 'file', ''],
        ].sort(),
      )
      expect(new Set(seen.map(one => one.mtimeSeconds))).toEqual(new Set([1_700_000_000]))
    })
  }

  test('a PAX global header holds for all members until their own record', () => {
    const records = Buffer.from('18 path=/from pax\n')
    const pax = packed('global', records)
    pax[156] = 'g'.charCodeAt(0)
    fixChecksum(pax)
    expect(unpack(join2(pax, packed('/a', 'x'), END)).map(one => one.name)).toEqual(['/from pax'])
  })

  test('sizes of 8 GiB and more are read from PAX and from base 256', () => {
    const head = new Uint8Array(1536)
    encodeTarHeader(head, 0, member('/big', 2 ** 33 + 5))
    const reader = createTarReader('x.tar')
    reader.feed(head)
    expect(reader.step()).toBe('member')
    expect(reader.member.sizeBytes).toBe(2 ** 33 + 5)
    const gnu = packed('/big', '')
    gnu.set([0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5], 124)
    fixChecksum(gnu)
    const second = createTarReader('x.tar')
    second.feed(gnu)
    expect(second.step()).toBe('member')
    expect(second.member.sizeBytes).toBe(2 ** 33 + 5)
  })

  test('a name that is not UTF-8 keeps its bytes', () => {
    const bytes = packed('/aXb', 'x')
    bytes[2] = 0xff
    fixChecksum(bytes)
    const [one] = unpack(join2(bytes, END))
    expect(one!.name).toBe('/a\ufffdb')
    expect([...one!.nameBytes!]).toEqual([0x2f, 0x61, 0xff, 0x62])
  })

  test('an archive may lack its end, its last padding, or have more zeros', () => {
    const file = packed('/a', 'abc')
    for (const bytes of [
      file,
      file.subarray(0, 515),
      file.subarray(0, 700),
      join2(file, END.subarray(512)),
      join2(file, END, new Uint8Array(1 << 20)),
      join2(file, END, new Uint8Array(77)),
      join2(file, new Uint8Array(100)),
    ]) {
      expect(unpack(bytes).map(one => one.content)).toEqual(['abc'])
    }
    expect(unpack(new Uint8Array(0))).toEqual([])
  })

  test('a cut header or content is an error that names the archive', () => {
    const file = packed('/a', 'abc')
    for (const cut of [1, 100, 511, 512, 514]) {
      expect([cut, codeOf(() => unpack(file.subarray(0, cut)))]).toEqual([cut, 'FORMAT_TRUNCATED'])
    }
    expect(() => unpack(file.subarray(0, 513))).toThrow('x.tar')
  })

  test('bytes other than zero after the end are an error', () => {
    const tail = new Uint8Array(5000)
    tail[4999] = 1
    expect(codeOf(() => unpack(join2(packed('/a', 'abc'), END, tail), 999))).toBe('FORMAT_INVALID')
  })

  test('members that climb out with .. are refused, names that only contain dots are not', () => {
    for (const name of ['/../x', '../x', '/a/../../x', '/a/..', '..']) {
      expect([name, codeOf(() => unpack(packed(name, 'x')))]).toEqual([name, 'FORMAT_INVALID'])
    }
    expect(unpack(join2(packed('/a..b', 'x'), packed('/...', 'y')))).toHaveLength(2)
  })

  test('every flipped bit in a header is noticed by its checksum', () => {
    const bytes = join2(packed('/base/1/1259', 'abc'), END)
    for (let bit = 0; bit < 512 * 8; bit++) {
      const damaged = bytes.slice()
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      // within the checksum field a digit may turn into a filler that means the same
      if (bit >> 3 >= 148 && bit >> 3 < 156) continue
      expect([bit, codeOf(() => unpack(damaged))]).toEqual([bit, 'FORMAT_INVALID'])
    }
  })

  test('links and devices have no content', () => {
    const link = packed('/l', '', { kind: 'symlink', linkName: 'target' })
    expect(
      unpack(join2(link, packed('/a', 'abc'), END)).map(one => [one.kind, one.linkName, one.content]),
    ).toEqual([
      ['symlink', 'target', ''],
      ['file', '', 'abc'],
    ])
  })
})

function fixChecksum(bytes: Uint8Array): void {
  bytes.fill(0x20, 148, 156)
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  bytes.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
}
