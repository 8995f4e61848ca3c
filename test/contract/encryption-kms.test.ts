import { afterAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { generateKey } from 'openpgp'
import { DareSource } from '../../src/codec/encryption/dare.ts'
import type { EncryptionDescription } from '../../src/codec/encryption/description.ts'
import { openEncryption } from '../../src/codec/encryption/encryption.ts'
import { loadChaCha20 } from '../../src/codec/encryption/secretstream.ts'
import { startAwsKmsServer } from '../doubles/kms/aws-kms-server.ts'
import { startYandexKmsServer } from '../doubles/kms/yandex-kms-server.ts'
import { encryptionOf } from '../support/encryption-keys.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { sealChaCha20Package } from './dare-package.ts'
import { encryptionContract, open, seal } from './encryption.ts'

const place = tempDirectory('kms')
const aws = await startAwsKmsServer('alias/one', 'alias/two')
const yandex = await startYandexKmsServer('key-one', 'key-two')
const account = place.at('account.json')
writeFileSync(account, yandex.serviceAccount, { mode: 0o600 })
const saved = { ...process.env }
Object.assign(process.env, {
  AWS_ENDPOINT_URL_KMS: aws.url,
  AWS_ACCESS_KEY_ID: aws.accessKey.id,
  AWS_SECRET_ACCESS_KEY: aws.accessKey.secret,
  AWS_EC2_METADATA_DISABLED: 'true',
})

afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name]
  await aws.close()
  await yandex.close()
  place.remove()
})

function awsKey(id: string): Promise<EncryptionDescription | undefined> {
  return encryptionOf({ WALG_CSE_KMS_ID: id, WALG_CSE_KMS_REGION: 'eu-central-1' })
}

function yandexKey(id: string, withAccount = true): Promise<EncryptionDescription | undefined> {
  const file: Record<string, string> = withAccount ? { YC_SERVICE_ACCOUNT_KEY_FILE: account } : {}
  return encryptionOf({ YC_CSE_KMS_KEY_ID: id, WALG_YC_ENDPOINT: yandex.url, ...file })
}

async function envelopeKey(id: string): Promise<EncryptionDescription | undefined> {
  const { privateKey } = await generateKey({
    type: 'ecc',
    curve: 'curve25519Legacy',
    userIDs: [{ email: 'dba@test.invalid' }],
    format: 'armored',
  })
  return encryptionOf({
    WALG_ENVELOPE_PGP_KEY: yandex.wrap(id, Buffer.from(privateKey)).toString('base64'),
    WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID: id,
    WALG_ENVELOPE_PGP_YC_ENDPOINT: yandex.url,
    WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE: account,
  })
}

const DARE = { unitBytes: 65_536 + 32, flips: 60, emptyIsRefused: true }

for (const { name, one, two, ...form } of [
  {
    name: 'AWS KMS',
    one: await awsKey('alias/one'),
    two: await awsKey('alias/two'),
    ...DARE,
    headBytes: () => 184,
  },
  {
    name: 'Yandex KMS',
    one: await yandexKey('key-one'),
    two: await yandexKey('key-two', false),
    ...DARE,
    headBytes: (stored: Uint8Array) => 10 + Buffer.from(stored).readUInt32LE(6),
  },
  {
    name: 'envelope OpenPGP',
    one: await envelopeKey('key-one'),
    two: await envelopeKey('key-two'),
    headBytes: (stored: Uint8Array) => Buffer.from(stored).indexOf(Uint8Array.of(0xd2, 0xf2)) + 1,
    unitBytes: 262_145,
    contentBytes: 900_000,
    flips: 60,
    // the ids of the keys, which nothing depends on
    isUnprotected: (at: number) => at >= 20 && at < 36,
  },
]) {
  const own = openEncryption(one!)
  const other = openEncryption(two!)
  encryptionContract({
    name,
    ...form,
    encrypt: sink => own.encrypt(sink),
    decrypt: source => own.decrypt(source, 'lz4'),
    decryptWithOther: source => other.decrypt(source, 'lz4'),
  })
}

test('a key service is asked once for all objects of a process', async () => {
  const encryption = openEncryption((await awsKey('alias/one'))!)
  const before = aws.requests.length
  for (let object = 0; object < 5; object++) {
    const stored = await seal(encryption, new Uint8Array(1000))
    expect(await open(source => encryption.decrypt(source, 'lz4'), stored)).toHaveLength(1000)
  }
  expect(aws.requests.length - before).toBe(1)
})

test('an unknown key of the service is an error before a byte is stored', async () => {
  for (const key of [await awsKey('alias/nobody'), await yandexKey('nobody')]) {
    const stored: Uint8Array[] = []
    const sink = { write: (bytes: Uint8Array) => void stored.push(bytes), end() {} }
    const error = await Promise.resolve(openEncryption(key!).encrypt(sink)).catch(failure => failure)
    expect(error).toMatchObject({ code: 'KEY_INVALID', message: expect.stringContaining('nobody') })
    expect(stored).toEqual([])
  }
})

test('keys of a service that were used before open what they sealed, beside a new key or another method', async () => {
  const content = new Uint8Array(5000).fill(7)
  const region = { WALG_CSE_KMS_REGION: 'eu-central-1' }
  const place = { WALG_YC_ENDPOINT: yandex.url, YC_SERVICE_ACCOUNT_KEY_FILE: account }
  const sodium = { WALG_LIBSODIUM_KEY: 'a key of thirty-two bytes exactly' }
  const oldAws = await seal(openEncryption((await awsKey('alias/one'))!), content)
  const oldYandex = await seal(openEncryption((await yandexKey('key-one'))!), content)
  for (const [stored, settings] of [
    [oldAws, { ...region, WALG_CSE_KMS_ID: 'alias/two', WALG_CSE_KMS_OLD_IDS: 'alias/one' }],
    [oldAws, { ...region, ...sodium, WALG_CSE_KMS_OLD_IDS: 'alias/two, alias/one' }],
    [oldAws, { ...region, WALG_CSE_KMS_OLD_IDS: 'alias/one' }],
    [oldYandex, { ...place, YC_CSE_KMS_KEY_ID: 'key-two', YC_CSE_KMS_OLD_KEY_IDS: 'key-one' }],
    [oldYandex, { ...place, ...sodium, YC_CSE_KMS_OLD_KEY_IDS: 'key-one' }],
  ] as const) {
    const encryption = openEncryption((await encryptionOf(settings))!)
    expect(await open(source => encryption.decrypt(source, 'lz4'), stored)).toEqual(content)
  }
})

test('packages of ChaCha20-Poly1305, which some processors write, are read', async () => {
  const key = new Uint8Array(32).fill(9)
  const content = new Uint8Array(1000).fill(4)
  const chacha = await loadChaCha20()
  const stored = await sealChaCha20Package(key, content)
  expect(await open(source => new DareSource(source, key, chacha), stored)).toEqual(content)
  stored[100]! ^= 1
  expect(open(source => new DareSource(source, key, chacha), stored)).rejects.toMatchObject({
    code: 'DECRYPT_FAILED',
  })
})
