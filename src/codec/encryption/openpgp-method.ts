import { randomBytes } from 'node:crypto'
import type { ByteSink, ByteSource } from '../../kit/bytes.ts'
import { assert, WalgError } from '../../kit/errors.ts'
import type { EncryptionMethod, OpenMethod, OpenPgpKey } from './description.ts'
import { unwrapWithGpg } from './gpg.ts'
import { readHead, withHead } from './head-source.ts'
import { decryptMessage, KeyRing, type SessionKey, translated, unwrapSessionKeys } from './openpgp-keys.ts'
import { cutMessage, TAG } from './openpgp-packets.ts'
import { openProtected, streamsCipher } from './openpgp-reader.ts'
import { parseSessions, SESSIONS_BYTES_MAX, type SessionPackets } from './openpgp-sessions.ts'
import { OpenPgpSink } from './openpgp-writer.ts'

const SESSION_KEY_BYTES = 32
const FIRST_HEAD_BYTES = 1 << 13

/** OpenPGP messages: storage-format 6.2. */
export const openOpenPgp: OpenMethod<OpenPgpKey> = ({ write, read }): EncryptionMethod => {
  const rings = new Map<OpenPgpKey, Promise<KeyRing>>()
  const ringOf = (key: OpenPgpKey): Promise<KeyRing> => {
    const ring =
      rings.get(key) ??
      (key.unlocked === undefined ? KeyRing.parse(key.ring) : KeyRing.fromBytes(key.unlocked))
    rings.set(key, ring)
    return ring
  }
  const seal = async (sink: ByteSink, sessionKey: Uint8Array): Promise<ByteSink> => {
    assert(write !== undefined, 'a key for writing')
    return new OpenPgpSink(sink, await (await ringOf(write)).wrap(sessionKey), sessionKey)
  }
  return {
    encrypt: sink => seal(sink, randomBytes(SESSION_KEY_BYTES)),
    decrypt: source => openMessage(source, sessions => unwrap(sessions, read, ringOf)),
    async proof() {
      assert(write !== undefined, 'a key for writing')
      const expected = await (await ringOf(write)).encryptionKeyIds()
      const sessionKey = randomBytes(SESSION_KEY_BYTES)
      return {
        encrypt: sink => seal(sink, sessionKey),
        decrypt: source =>
          openMessage(source, async ({ recipients }) => {
            const isFor = (id: string): boolean => recipients.some(recipient => isOf(recipient, id))
            assert(expected.every(isFor), `the message is addressed to ${expected.join(', ')}`)
            return [{ algorithm: 'aes256', data: sessionKey }]
          }),
      }
    },
  }
}

/** Seals a message to every entity of a ring. */
export async function sealMessage(ring: KeyRing, sink: ByteSink): Promise<ByteSink> {
  const sessionKey = randomBytes(SESSION_KEY_BYTES)
  return new OpenPgpSink(sink, await ring.wrap(sessionKey), sessionKey)
}

/** Opens a message with the session keys that `unwrapSessions` finds in its beginning. */
export async function openMessage(
  source: ByteSource,
  unwrapSessions: (sessions: SessionPackets) => Promise<readonly SessionKey[]>,
): Promise<ByteSource> {
  const { sessions, whole } = await readSessions(source)
  if (sessions.encryptedTag === TAG.unprotected) {
    throw new WalgError('FORMAT_UNSUPPORTED', 'the OpenPGP message is not integrity protected: it is refused')
  }
  const sessionKeys = await unwrapSessions(sessions)
  const isOurs = sessions.encryptedTag === TAG.encrypted && sessions.encryptedVersion === 1
  const ours = sessionKeys.find(({ algorithm }) => isOurs && algorithm !== null && streamsCipher(algorithm))
  if (ours === undefined) return libraryContent(whole, sessionKeys)
  // the head is read twice when the library has to take over: it tells which content is inside
  const { head, whole: again } = await readHead(whole, FIRST_HEAD_BYTES + sessions.bytes.length)
  const trial = await contentKind(head.subarray(sessions.bytes.length), ours)
  if (trial === 'other') return libraryContent(again, [ours])
  const body = await withoutBytes(again, sessions.bytes.length)
  const content = await openProtected(body, ours.algorithm!, ours.data)
  assert(content.kind === 'literal', 'the same beginning is read the same twice')
  return content.source
}

async function contentKind(head: Uint8Array, { algorithm, data }: SessionKey): Promise<'literal' | 'other'> {
  const source = withHead(head, { read: () => 0, close() {} })
  return (await openProtected(source, algorithm!, data)).kind
}

/** The session key packets, and a source that still gives the whole message. */
async function readSessions(source: ByteSource): Promise<{ sessions: SessionPackets; whole: ByteSource }> {
  let from = source
  for (let bytes = FIRST_HEAD_BYTES; ; bytes *= 2) {
    const { head, whole } = await readHead(from, bytes)
    const sessions = parseSessions(head)
    if (sessions !== undefined) return { sessions, whole }
    if (head.length < bytes || bytes >= SESSIONS_BYTES_MAX) throw cutMessage()
    from = whole
  }
}

async function withoutBytes(source: ByteSource, count: number): Promise<ByteSource> {
  for (let left = count; left > 0; ) {
    const got = await source.read(new Uint8Array(Math.min(left, FIRST_HEAD_BYTES)))
    if (got === 0) throw cutMessage()
    left -= got
  }
  return source
}

/** A recipient is a key id, or a fingerprint, which begins (version 6) or ends (version 4) with it. */
function isOf(recipient: string, keyId: string): boolean {
  return recipient.startsWith(keyId) || recipient.endsWith(keyId)
}

/** Every private key that the message may be for, by its key ids. */
async function unwrap(
  sessions: SessionPackets,
  read: readonly OpenPgpKey[],
  ringOf: (key: OpenPgpKey) => Promise<KeyRing>,
): Promise<readonly SessionKey[]> {
  const failures: string[] = []
  for (const key of read) {
    const ring = await ringOf(key)
    const isAnonymous = sessions.recipients.some(recipient => /^0+$/.test(recipient))
    const isFor = ring.keyIds.some(id => sessions.recipients.some(recipient => isOf(recipient, id)))
    if (!isFor && !isAnonymous) continue
    if (key.isInAgent === true) {
      const session = await unwrapWithGpg(sessions.bytes, key.passphrase)
      if (session !== undefined) return [session]
      failures.push('gpg and its agent do not open it')
      continue
    }
    if (!ring.hasPrivate) {
      failures.push(`${key.setting} holds only its public key`)
      continue
    }
    const found = await unwrapSessionKeys(sessions.bytes, await unlocked(ring, key))
    if (found.length > 0) return found
    failures.push(`the key in ${key.setting} does not open it`)
  }
  const recipients = sessions.recipients.join(', ') || (sessions.hasPassword ? 'a password' : 'nobody')
  const why =
    failures.length > 0 ? `: ${failures.join('; ')}` : ', and none of the configured keys is one of these'
  throw new WalgError('DECRYPT_FAILED', `the object is encrypted to OpenPGP key ${recipients}${why}`, {
    facts: { recipients },
    hint: 'set WALG_PGP_KEY_PATH to the private key; one that was used before goes into WALG_PGP_OLD_KEY_PATHS',
  })
}

async function unlocked(ring: KeyRing, key: OpenPgpKey): Promise<Awaited<ReturnType<KeyRing['unlock']>>> {
  try {
    return await ring.unlock(key.passphrase)
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    throw new WalgError('KEY_INVALID', `the key in ${key.setting} ${error.message}`, {
      hint: 'set WALG_PGP_KEY_PASSPHRASE to the passphrase of the key',
    })
  }
}

/** What the library gives back, as a source. */
async function libraryContent(whole: ByteSource, sessionKeys: readonly SessionKey[]): Promise<ByteSource> {
  const reader = (await decryptMessage(whole, sessionKeys)).getReader()
  let rest: Uint8Array = new Uint8Array(0)
  return {
    async read(into): Promise<number> {
      while (rest.length === 0) {
        const next = await reader.read().catch(error => {
          throw translated(error)
        })
        if (next.done) return 0
        rest = next.value
      }
      const count = Math.min(rest.length, into.length)
      into.set(rest.subarray(0, count))
      rest = rest.subarray(count)
      return count
    },
    async close(): Promise<void> {
      await reader.cancel().catch(() => {
        // what is given up may be broken
      })
      await whole.close()
    },
  }
}
