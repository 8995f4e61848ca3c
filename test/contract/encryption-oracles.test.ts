import { dlopen, FFIType, ptr } from 'bun:ffi'
import { expect, test } from 'bun:test'
import * as openpgp from 'openpgp'
import type { EncryptionDescription } from '../../src/codec/encryption/description.ts'
import { openEncryption } from '../../src/codec/encryption/encryption.ts'
import { encryptionOf } from '../support/encryption-keys.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { describeUnless } from '../support/skip.ts'
import { open, seal } from './encryption.ts'

const POINTER = FFIType.ptr
const PREFIX = 'crypto_secretstream_xchacha20poly1305'
const SYMBOLS = {
  [`${PREFIX}_init_push`]: { args: [POINTER, POINTER, POINTER], returns: FFIType.i32 },
  [`${PREFIX}_push`]: {
    args: [POINTER, POINTER, POINTER, POINTER, FFIType.u64, POINTER, FFIType.u64, FFIType.u8],
    returns: FFIType.i32,
  },
  [`${PREFIX}_init_pull`]: { args: [POINTER, POINTER, POINTER], returns: FFIType.i32 },
  [`${PREFIX}_pull`]: {
    args: [POINTER, POINTER, POINTER, POINTER, POINTER, FFIType.u64, POINTER, FFIType.u64],
    returns: FFIType.i32,
  },
} as const

type Call = (...values: unknown[]) => number

/** The C library of the system, or why there is none. */
function systemSodium(): Record<string, Call> | string {
  try {
    return dlopen('libsodium.so.23', SYMBOLS).symbols as unknown as Record<string, Call>
  } catch {
    return 'no libsodium.so.23 is installed'
  }
}

const sodium = systemSodium()
const STATE_BYTES = 52
const MESSAGE_BYTES = 8192
const random = seededRandom('oracles')
const KEY = Buffer.from(random.bytes(32))

/** A stream as the C library writes it, in messages of the original's size. */
function sealWithC(call: Record<string, Call>, content: Uint8Array): Uint8Array {
  const state = new Uint8Array(STATE_BYTES)
  const header = new Uint8Array(24)
  call[`${PREFIX}_init_push`]!(ptr(state), ptr(header), ptr(KEY))
  const stored: Uint8Array[] = [header]
  for (let at = 0; ; at += MESSAGE_BYTES) {
    const message = Uint8Array.from([...content.subarray(at, at + MESSAGE_BYTES), 0])
    const count = message.length - 1
    const sealed = new Uint8Array(count + 17)
    const tag = count < MESSAGE_BYTES ? 3 : 0
    call[`${PREFIX}_push`]!(ptr(state), ptr(sealed), null, ptr(message), count, null, 0, tag)
    stored.push(sealed)
    if (tag === 3) return Buffer.concat(stored)
  }
}

function openWithC(call: Record<string, Call>, stored: Uint8Array): Uint8Array {
  const state = new Uint8Array(STATE_BYTES)
  const header = stored.slice(0, 24)
  call[`${PREFIX}_init_pull`]!(ptr(state), ptr(header), ptr(KEY))
  const opened: Uint8Array[] = []
  const tag = new Uint8Array(1)
  for (let at = 24; at < stored.length; at += MESSAGE_BYTES + 17) {
    const sealed = stored.slice(at, at + MESSAGE_BYTES + 17)
    const message = new Uint8Array(sealed.length - 16)
    const failed = call[`${PREFIX}_pull`]!(
      ptr(state),
      ptr(message),
      null,
      ptr(tag),
      ptr(sealed),
      sealed.length,
      null,
      0,
    )
    expect([at, failed]).toEqual([at, 0])
    opened.push(message.subarray(0, sealed.length - 17))
  }
  expect(tag[0]).toBe(3)
  return Buffer.concat(opened)
}

describeUnless(typeof sodium === 'string' ? sodium : undefined, 'the libsodium of the system', () => {
  test('reads what we write, and the other way round', async () => {
    const call = sodium as Record<string, Call>
    const settings = { WALG_LIBSODIUM_KEY: KEY.toString('hex'), WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' }
    const encryption = openEncryption((await encryptionOf(settings))!)
    for (const size of [0, 1, 8191, 8192, 8193, 16_384, 100_000]) {
      const content = random.bytes(size)
      const ours = await seal(encryption, content)
      expect([size, Buffer.compare(openWithC(call, ours), content)]).toEqual([size, 0])
      const theirs = sealWithC(call, content)
      const opened = await open(source => encryption.decrypt(source, 'lz4'), theirs)
      expect([size, Buffer.compare(opened, content)]).toEqual([size, 0])
    }
  })
})

const FORMS: readonly [name: string, config: Partial<openpgp.Config>][] = [
  ['AES-256', { preferredSymmetricAlgorithm: openpgp.enums.symmetric.aes256 }],
  ['AES-128', { preferredSymmetricAlgorithm: openpgp.enums.symmetric.aes128 }],
  ['zlib', { preferredCompressionAlgorithm: openpgp.enums.compression.zlib }],
  ['AEAD GCM', { aeadProtect: true, preferredAEADAlgorithm: openpgp.enums.aead.gcm }],
  ['AEAD OCB', { aeadProtect: true, preferredAEADAlgorithm: openpgp.enums.aead.ocb }],
  ['AEAD EAX', { aeadProtect: true, preferredAEADAlgorithm: openpgp.enums.aead.eax }],
]

async function keyOf(isNew: boolean, config: Partial<openpgp.Config>): Promise<string> {
  const made = await openpgp.generateKey({
    type: isNew ? 'curve25519' : 'ecc',
    userIDs: [{ email: 'dba@test.invalid' }],
    format: 'armored',
    config: { ...config, v6Keys: isNew },
  })
  return made.privateKey
}

for (const isNew of [false, true]) {
  const version = isNew ? 'version 6' : 'version 4'
  test(`messages of OpenPGP.js to a key of ${version} are read, AEAD included, and ours by it`, async () => {
    const content = random.bytes(300_000)
    for (const [name, config] of FORMS) {
      const armored = await keyOf(isNew, config)
      const own = (await encryptionOf({ WALG_PGP_KEY: armored })) as EncryptionDescription
      const encryption = openEncryption(own)
      const key = await openpgp.readPrivateKey({ armoredKey: armored })
      const stored = await openpgp.encrypt({
        message: await openpgp.createMessage({ binary: content }),
        encryptionKeys: key,
        format: 'binary',
        config,
      })
      const opened = await open(source => encryption.decrypt(source, 'lz4'), stored as Uint8Array)
      expect([name, Buffer.compare(opened, content)]).toEqual([name, 0])
      const damaged = (stored as Uint8Array).slice()
      damaged[damaged.length - 1000]! ^= 1
      const failure = await open(source => encryption.decrypt(source, 'lz4'), damaged).catch(error => error)
      expect([name, String(failure.code)]).toEqual([name, expect.stringMatching(/^(FORMAT_|CHECKSUM_)/)])

      const ours = await seal(encryption, content)
      const message = await openpgp.readMessage({ binaryMessage: ours })
      const { data } = await openpgp.decrypt({ message, decryptionKeys: key, format: 'binary' })
      expect([name, Buffer.compare(data as Uint8Array, content)]).toEqual([name, 0])
    }
  }, 30_000)
}
