import { type Awaitable, type ByteSink, type ByteSource, concatBytes } from '../../kit/bytes.ts'
import { assert, WalgError } from '../../kit/errors.ts'
import type { Encryption } from '../codec.ts'
import type {
  EncryptionDescription,
  EncryptionKey,
  EncryptionMethod,
  EncryptionMethodName,
  OpenMethod,
} from './description.ts'
import { readHead } from './head-source.ts'
import { fitsLibsodium, LIBSODIUM_TRIAL_BYTES } from './libsodium-method.ts'
import { formOfHead, looksPlain } from './stored-form.ts'

// biome-ignore lint/suspicious/noExplicitAny: each method takes the keys of its own kind
const METHODS: Readonly<Record<EncryptionMethodName, () => Promise<OpenMethod<any>>>> = {
  libsodium: async () => (await import('./libsodium-method.ts')).openLibsodium,
  awskms: async () => (await import('./aws-kms-method.ts')).openAwsKms,
  yckms: async () => (await import('./yandex-kms-method.ts')).openYandexKms,
  'envelope-openpgp': async () => (await import('./envelope-method.ts')).openEnvelope,
  openpgp: async () => (await import('./openpgp-method.ts')).openOpenPgp,
}

/** Enough to tell every form but libsodium's. */
const HEAD_BYTES = 512
const PROOF = new TextEncoder().encode('what is sealed opens again')

/**
 * Seals with the one write key and opens whatever one of the read keys opens: a repository may mix keys and methods.
 * An object that is not encrypted is refused unless the description allows it: who can write to the storage must
 * not be able to put another backup in the place of a sealed one.
 */
export function openEncryption(description: EncryptionDescription): Encryption {
  const { write, read, readsPlain } = description
  const opened = new Map<EncryptionMethodName, Promise<EncryptionMethod>>()
  const methodOf = (name: EncryptionMethodName): Promise<EncryptionMethod> => {
    const method = opened.get(name) ?? openMethod(name, write, read)
    opened.set(name, method)
    return method
  }
  let proof: Promise<void> | undefined
  return {
    name: write?.method ?? 'none',
    async encrypt(sink: ByteSink): Promise<ByteSink> {
      if (write === undefined) return sink
      const method = await methodOf(write.method)
      proof ??= prove(method, write)
      await proof
      return method.encrypt(sink)
    },
    async decrypt(source: ByteSource, extension: string): Promise<ByteSource> {
      const sodiumKeys = read.filter(key => key.method === 'libsodium')
      const headBytes = sodiumKeys.length > 0 ? LIBSODIUM_TRIAL_BYTES : HEAD_BYTES
      const { head, whole } = await readHead(source, headBytes)
      if (await fitsLibsodium(sodiumKeys, head)) return (await methodOf('libsodium')).decrypt(whole)
      const form = formOfHead(head)
      const key = read.find(({ method }) => (method as string) === form)
      if (key !== undefined) return (await methodOf(key.method)).decrypt(whole)
      if (form === undefined && looksPlain(head, extension)) {
        if (readsPlain) return whole
        throw head.length === 0 ? emptyObject() : notEncrypted()
      }
      throw form === undefined ? noKeyFits(read) : noKeyOf(form)
    },
  }
}

async function openMethod(
  name: EncryptionMethodName,
  write: EncryptionKey | undefined,
  read: readonly EncryptionKey[],
): Promise<EncryptionMethod> {
  const open = await METHODS[name]()
  return open({
    write: write?.method === name ? write : undefined,
    read: read.filter(key => key.method === name),
  })
}

/** Before anything is stored: what this thread seals can be opened again. */
async function prove(opened: EncryptionMethod, key: EncryptionKey): Promise<void> {
  const method = (await opened.proof?.()) ?? opened
  const sealed: Uint8Array[] = []
  const sink = await method.encrypt({ write: bytes => void sealed.push(new Uint8Array(bytes)), end() {} })
  await sink.write(PROOF)
  await sink.end()
  const stored = concatBytes(sealed)
  let at = 0
  const source = await method.decrypt({
    read(into): Awaitable<number> {
      const piece = stored.subarray(at, at + into.length)
      into.set(piece)
      at += piece.length
      return piece.length
    },
    close() {},
  })
  const plain = new Uint8Array(PROOF.length + 1)
  let count = 0
  for (let got = await source.read(plain); got > 0; got = await source.read(plain.subarray(count)))
    count += got
  await source.close()
  const isSame = Buffer.compare(plain.subarray(0, count), PROOF) === 0
  assert(isSame, `what is sealed with ${key.method} key ${key.keyId} does not open again`)
}

const KEY_HINT =
  'check the key settings; a key that was used before goes into WALG_LIBSODIUM_OLD_KEY_PATHS or WALG_PGP_OLD_KEY_PATHS'

function emptyObject(): WalgError {
  return new WalgError('FORMAT_TRUNCATED', 'the encrypted object is empty')
}

function notEncrypted(): WalgError {
  return new WalgError('DECRYPT_FAILED', 'the object is not encrypted, although a key is configured', {
    hint: 'if it was stored before encryption was switched on, set WALG_READ_UNENCRYPTED=true; if not, somebody may have replaced it',
  })
}

function noKeyFits(read: readonly EncryptionKey[]): WalgError {
  const keys = read.map(({ method, keyId }) => `${method} ${keyId}`).join(', ')
  return new WalgError('DECRYPT_FAILED', `none of the keys opens it (${keys}), or its beginning is damaged`, {
    facts: { keys },
    hint: KEY_HINT,
  })
}

function noKeyOf(form: string): WalgError {
  return new WalgError(
    'DECRYPT_FAILED',
    `the object is encrypted with ${form}, and no such key is configured`,
    {
      facts: { form },
      hint: KEY_HINT,
    },
  )
}
