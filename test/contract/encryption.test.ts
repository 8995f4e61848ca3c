import { afterAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import type { EncryptionDescription } from '../../src/codec/encryption/description.ts'
import { openEncryption } from '../../src/codec/encryption/encryption.ts'
import { decryptLibsodium, encryptLibsodium } from '../../src/codec/encryption/libsodium.ts'
import { loadNative, loadWasm } from '../../src/codec/encryption/secretstream.ts'
import { encryptionOf } from '../support/encryption-keys.ts'
import { describeUnless, missingTool } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { encryptionContract, open, seal } from './encryption.ts'

const SODIUM = { headBytes: () => 24, unitBytes: 8209, flips: 150 }
const keys = [new Uint8Array(32).fill(7), new Uint8Array(32).fill(8)] as const

for (const load of [loadNative, loadWasm]) {
  const streams = await load()
  encryptionContract({
    name: `libsodium (${streams.engine})`,
    ...SODIUM,
    encrypt: sink => encryptLibsodium(streams, keys[0], sink),
    decrypt: source => decryptLibsodium(streams, [keys[0]], source),
    decryptWithOther: source => decryptLibsodium(streams, [keys[1]], source),
  })
}

test('both engines of libsodium read what the other has written', async () => {
  const [native, wasm] = [await loadNative(), await loadWasm()]
  const content = new Uint8Array(100_000).fill(3)
  for (const [writer, reader] of [
    [native, wasm],
    [wasm, native],
  ] as const) {
    const stored = await seal({ encrypt: sink => encryptLibsodium(writer, keys[0], sink) }, content)
    expect(stored.length).toBe(24 + content.length + 17 * (Math.floor(content.length / 8192) + 1))
    expect(await open(source => decryptLibsodium(reader, [keys[0]], source), stored)).toEqual(content)
  }
})

const reason = missingTool('gpg')
const folder = tempDirectory('pgp')
const home = folder.at('gnupg')
mkdirSync(home, { mode: 0o700 })

function gpg(args: readonly string[], input?: Uint8Array): Buffer {
  const common = ['--homedir', home, '--batch', '--yes', '--quiet', '--trust-model', 'always']
  const lock = ['--pinentry-mode', 'loopback', '--passphrase', 'pass word']
  const run = spawnSync('gpg', [...common, ...lock, ...args], {
    maxBuffer: 1 << 26,
    ...(input === undefined ? {} : { input }),
  })
  if (run.status !== 0) throw new Error(`gpg ${args.join(' ')}: ${run.stderr}`)
  return run.stdout
}

function secretKey(user: string): string {
  return gpg(['--armor', '--export-secret-keys', user]).toString()
}

async function pgpKey(armored: string): Promise<EncryptionDescription> {
  const settings = { WALG_PGP_KEY: armored, WALG_PGP_KEY_PASSPHRASE: 'pass word' }
  return (await encryptionOf(settings))!
}

describeUnless(reason, 'OpenPGP with keys that gpg has made', async () => {
  if (reason !== undefined) return
  gpg(['--quick-gen-key', 'rsa@test.invalid', 'rsa2048', 'cert,sign,encr', '0'])
  gpg(['--quick-gen-key', 'curve@test.invalid', 'future-default', 'default', '0'])
  const rsa = await pgpKey(secretKey('rsa@test.invalid'))
  const curve = await pgpKey(secretKey('curve@test.invalid'))
  const content = new Uint8Array(300_000).map((_, index) => index % 251)

  afterAll(() => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all'])
    folder.remove()
  })

  for (const [name, own, other] of [
    ['RSA', rsa, curve],
    ['Curve25519', curve, rsa],
  ] as const) {
    const encryption = openEncryption(own)
    const others = openEncryption(other)
    encryptionContract({
      name: `OpenPGP, ${name}`,
      headBytes: stored => Buffer.from(stored).indexOf(Uint8Array.of(0xd2, 0xf2)) + 1,
      unitBytes: 262_145,
      contentBytes: 900_000,
      flips: 60,
      encrypt: sink => encryption.encrypt(sink),
      decrypt: source => encryption.decrypt(source, 'lz4'),
      decryptWithOther: source => others.decrypt(source, 'lz4'),
    })

    test(`${name}: gpg gives back every byte of what we write`, async () => {
      const stored = await seal(encryption, content)
      expect(Buffer.compare(gpg(['--decrypt'], stored), content)).toBe(0)
    })

    const user = name === 'RSA' ? 'rsa@test.invalid' : 'curve@test.invalid'
    const forms = [
      [],
      ['-z', '0'],
      ['--compress-algo', 'zip'],
      ['--compress-algo', 'zlib'],
      ['--compress-algo', 'bzip2'],
      ['--cipher-algo', 'AES'],
      ['--cipher-algo', 'AES192'],
      ['--cipher-algo', '3DES'],
      ['--sign', '--local-user', user],
      ['--throw-keyids'],
    ]
    for (const form of forms) {
      test(`${name}: what gpg encrypts ${form.join(' ')} is read`, async () => {
        const stored = gpg([...form, '--recipient', user, '--encrypt'], content)
        const opened = await open(source => encryption.decrypt(source, 'lz4'), stored)
        expect(Buffer.compare(opened, content)).toBe(0)
        const cut = stored.subarray(0, stored.length - 30)
        expect(open(source => encryption.decrypt(source, 'lz4'), cut)).rejects.toThrow()
      })
    }
  }

  test('a message to two recipients is opened by each, and a repository may mix keys', async () => {
    const both = gpg(['--armor', '--export', 'rsa@test.invalid', 'curve@test.invalid']).toString()
    const stored = await seal(openEncryption(await publicKey(both)), content)
    for (const own of [rsa, curve]) {
      const opened = await open(source => openEncryption(own).decrypt(source, 'lz4'), stored)
      expect(Buffer.compare(opened, content)).toBe(0)
    }
    const sodium = (await encryptionOf({ WALG_LIBSODIUM_KEY: 'k'.repeat(32) }))!
    const mixed = openEncryption({
      write: rsa.write,
      read: [...rsa.read, ...curve.read, ...sodium.read],
      readsPlain: false,
    })
    for (const own of [rsa, curve, sodium]) {
      const old = await seal(openEncryption(own), content)
      expect(Buffer.compare(await open(source => mixed.decrypt(source, 'lz4'), old), content)).toBe(0)
    }
  })
})

async function publicKey(armored: string): Promise<EncryptionDescription> {
  const { readEncryption } = await import('../../src/codec/encryption/read-encryption.ts')
  const { readSettings } = await import('../../src/cli/configuration/read-settings.ts')
  const environment = { WALG_PGP_KEY: armored }
  const { settings } = readSettings({ flags: new Map(), environment, file: undefined })
  return (await readEncryption(settings, false)).description!
}

test('an object that is not encrypted is refused with a key, unless that is allowed', async () => {
  const sodium = (await encryptionOf({ WALG_LIBSODIUM_KEY: 'k'.repeat(32) }))!
  const plain: readonly [extension: string, head: string][] = [
    ['lz4', '04224d18'],
    ['zst', '28b52ffd'],
    ['lzma', '5d000080'],
    ['gz', '1f8b0800'],
    ['br', '8b0380aa'],
    ['', '16d10500010000000000000000000000'],
    ['', Buffer.from('1\t0/5000000\tno reason\n').toString('hex')],
  ]
  for (const [extension, head] of plain) {
    const stored = new Uint8Array(
      Buffer.from(head + (head.startsWith('16d1') ? '00'.repeat(600) : ''), 'hex'),
    )
    const strict = open(source => openEncryption(sodium).decrypt(source, extension), stored)
    expect(strict).rejects.toMatchObject({
      code: 'DECRYPT_FAILED',
      message: expect.stringContaining('not encrypted'),
    })
    const lenient = openEncryption({ ...sodium, readsPlain: true })
    expect(await open(source => lenient.decrypt(source, extension), stored)).toEqual(stored)
  }
  const noise = new Uint8Array(1000).map((_, index) => (index * 7919) >> 3)
  const lenient = openEncryption({ ...sodium, readsPlain: true })
  expect(open(source => lenient.decrypt(source, ''), noise)).rejects.toMatchObject({ code: 'DECRYPT_FAILED' })
})
