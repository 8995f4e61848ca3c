import * as openpgp from 'openpgp'
import { type ByteSource, streamFromSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'

/** Keys of every age are used as they are: whoever runs them has decided. */
const CONFIG: openpgp.Config = {
  ...openpgp.config,
  minRSABits: 1023,
  rejectPublicKeyAlgorithms: new Set(),
  rejectCurves: new Set(),
  allowInsecureDecryptionWithSigningKeys: true,
  allowUnauthenticatedStream: true,
  allowUnauthenticatedMessages: false,
  preferredSymmetricAlgorithm: openpgp.enums.symmetric.aes256,
  showVersion: false,
  showComment: false,
}
const ARMOR =
  /-----BEGIN PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----[\s\S]*?-----END PGP (?:PUBLIC|PRIVATE) KEY BLOCK-----/g
const WRAPPED_ALGORITHM = 'aes256'

export interface SessionKey {
  /** `aes128`, `aes256`, …; null when the message itself says it. */
  readonly algorithm: string | null
  readonly data: Uint8Array
}

/** The keys of one armored text: entities, each with its subkeys. */
export class KeyRing {
  readonly #keys: readonly openpgp.Key[]
  #unlocked: Promise<readonly openpgp.PrivateKey[]> | undefined

  private constructor(keys: readonly openpgp.Key[]) {
    this.#keys = keys
  }

  /** Throws KEY_INVALID, saying what is wrong with it. */
  static async parse(text: string): Promise<KeyRing> {
    const blocks = text.match(ARMOR)
    if (blocks === null) throw invalid('holds no armored OpenPGP key')
    const keys: openpgp.Key[] = []
    for (const armoredKeys of blocks) {
      try {
        keys.push(...(await openpgp.readKeys({ armoredKeys, config: CONFIG })))
      } catch (error) {
        throw invalid('holds a damaged OpenPGP key', error)
      }
    }
    if (keys.length === 0) throw invalid('holds no OpenPGP key')
    return new KeyRing(keys)
  }

  /** From what `unlockedBytes` gave. */
  static async fromBytes(binaryKeys: Uint8Array): Promise<KeyRing> {
    return new KeyRing(await openpgp.readKeys({ binaryKeys, config: CONFIG }))
  }

  get hasPrivate(): boolean {
    return this.#keys.some(key => key.isPrivate())
  }

  /** Ids of all keys and subkeys, upper-case hex. */
  get keyIds(): string[] {
    return this.#keys.flatMap(key => key.getKeyIDs().map(id => id.toHex().toUpperCase()))
  }

  /** Fingerprints of the entities, upper-case hex. */
  get fingerprints(): string[] {
    return this.#keys.map(key => key.getFingerprint().toUpperCase())
  }

  /** Ids of the entities, upper-case hex without leading zeros. */
  get primaryKeyIds(): string[] {
    return this.#keys.map(key => key.getKeyID().toHex().toUpperCase().replace(/^0+/, ''))
  }

  /** Ids of the keys to which new messages are encrypted, one per entity. Throws KEY_INVALID when one has none. */
  async encryptionKeyIds(): Promise<string[]> {
    return Promise.all(
      this.#keys.map(async key => {
        try {
          const found = await key.getEncryptionKey(undefined, new Date(), undefined, CONFIG)
          return found.getKeyID().toHex().toUpperCase()
        } catch (error) {
          const id = key.getKeyID().toHex().toUpperCase()
          throw invalid(
            `holds the key ${id}, with which nothing can be encrypted (expired, revoked or only for signing)`,
            error,
          )
        }
      }),
    )
  }

  /** The session key packets of a new message to every entity. */
  async wrap(sessionKey: Uint8Array): Promise<Uint8Array> {
    return openpgp.encryptSessionKey({
      data: sessionKey,
      algorithm: WRAPPED_ALGORITHM,
      encryptionKeys: [...this.#keys],
      format: 'binary',
      config: CONFIG,
    }) as Promise<Uint8Array>
  }

  /** Throws KEY_INVALID when there is no private key, or the passphrase does not open one. */
  unlock(passphrase: string | undefined): Promise<readonly openpgp.PrivateKey[]> {
    this.#unlocked ??= Promise.all(
      this.#keys.filter(key => key.isPrivate()).map(key => unlockKey(key as openpgp.PrivateKey, passphrase)),
    )
    return this.#unlocked
  }

  /** The private keys without their passphrase, for other threads. */
  async unlockedBytes(passphrase: string | undefined): Promise<Uint8Array> {
    const keys = await this.unlock(passphrase)
    return Buffer.concat(keys.map(key => key.write()))
  }
}

async function unlockKey(
  key: openpgp.PrivateKey,
  passphrase: string | undefined,
): Promise<openpgp.PrivateKey> {
  if (key.isDecrypted()) return key
  if (passphrase === undefined) throw invalid('is locked by a passphrase, and none is given')
  try {
    return await openpgp.decryptKey({ privateKey: key, passphrase, config: CONFIG })
  } catch (error) {
    throw invalid('is not opened by the passphrase', error)
  }
}

/** The session keys that one of `keys` unwraps from the beginning of a message; none when no key fits. */
export async function unwrapSessionKeys(
  sessionPackets: Uint8Array,
  keys: readonly openpgp.PrivateKey[],
): Promise<readonly SessionKey[]> {
  try {
    const message = await openpgp.readMessage({ binaryMessage: sessionPackets, config: CONFIG })
    const found = await openpgp.decryptSessionKeys({
      message,
      decryptionKeys: [...keys],
      date: new Date(),
      config: CONFIG,
    })
    return found.map(({ algorithm, data }) => ({ algorithm, data }))
  } catch {
    // the library has one error for "not for this key" and for a damaged packet; the caller names the keys
    return []
  }
}

/** Lets the library read a whole message: AEAD, old ciphers, compression. Streams; ends only when verified. */
export async function decryptMessage(
  source: ByteSource,
  sessionKeys: readonly SessionKey[],
): Promise<ReadableStream<Uint8Array>> {
  const iterator = streamFromSource(source, 1 << 16)
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller): Promise<void> {
      const next = await iterator.next()
      if (next.done === true) controller.close()
      else controller.enqueue(next.value.slice())
    },
    async cancel(): Promise<void> {
      await iterator.return(undefined)
    },
  })
  try {
    const message = await openpgp.readMessage({ binaryMessage: stream, config: CONFIG })
    const { data } = await openpgp.decrypt({
      message,
      sessionKeys: sessionKeys as openpgp.SessionKey[],
      format: 'binary',
      config: CONFIG,
    })
    return data as unknown as ReadableStream<Uint8Array>
  } catch (error) {
    throw translated(error)
  }
}

/** What the library says about a damaged message, as an error of ours. */
export function translated(error: unknown): WalgError {
  if (error instanceof WalgError) return error
  const text = error instanceof Error ? error.message : String(error)
  if (/integrity protected/i.test(text)) {
    return new WalgError('FORMAT_UNSUPPORTED', 'the OpenPGP message is not integrity protected', {
      cause: error,
    })
  }
  if (/modification|mdc/i.test(text)) {
    return new WalgError(
      'CHECKSUM_MISMATCH',
      'the OpenPGP message does not match its modification detection code',
      {
        cause: error,
      },
    )
  }
  const isCut = /unexpected end|premature|truncat/i.test(text)
  return new WalgError(isCut ? 'FORMAT_TRUNCATED' : 'FORMAT_INVALID', 'the OpenPGP message is damaged', {
    cause: error,
  })
}

function invalid(problem: string, cause?: unknown): WalgError {
  return new WalgError('KEY_INVALID', problem, { cause })
}
