import { badMessage, TAG } from './openpgp-packets.ts'

/** The beginning of a message: session keys wrapped for each recipient. */
export interface SessionPackets {
  /** These packets, as stored. */
  readonly bytes: Uint8Array
  /** Upper-case hex ids of the keys (64 bits) or fingerprints (version 6) it is for; `0000000000000000` = not said. */
  readonly recipients: readonly string[]
  /** True for one that only a password opens. */
  readonly hasPassword: boolean
  /** Type of the encrypted packet behind them, and its version. */
  readonly encryptedTag: number
  readonly encryptedVersion: number
}

/** Longest run of session key packets that is looked at: hundreds of recipients. */
export const SESSIONS_BYTES_MAX: number = 1 << 18

/** Parses the beginning of a message. Undefined when `head` is too short; FORMAT_INVALID when it is no message. */
export function parseSessions(head: Uint8Array): SessionPackets | undefined {
  const recipients: string[] = []
  let hasPassword = false
  for (let at = 0; ; ) {
    const packet = headerAt(head, at)
    if (packet === undefined) return undefined
    const { tag, bodyAt, length } = packet
    if (tag === TAG.encrypted || tag === TAG.aead || tag === TAG.unprotected) {
      const encryptedVersion = head[bodyAt]
      if (encryptedVersion === undefined) return undefined
      return { bytes: head.slice(0, at), recipients, hasPassword, encryptedTag: tag, encryptedVersion }
    }
    if (length === undefined) throw badMessage('a session key has no length')
    if (bodyAt + length > head.length) return undefined
    const body = head.subarray(bodyAt, bodyAt + length)
    if (tag === TAG.sessionKey) recipients.push(recipientOf(body))
    else if (tag === TAG.passwordSessionKey) hasPassword = true
    else if (tag !== TAG.marker && tag !== TAG.padding) {
      throw badMessage(`a packet of type ${tag} stands before the encrypted one`)
    }
    at = bodyAt + length
  }
}

function recipientOf(body: Uint8Array): string {
  if (body[0] === 3) return hex(body.subarray(1, 9))
  const length = body[1] ?? 0
  return length === 0 ? '0'.repeat(16) : hex(body.subarray(3, 2 + length))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase()
}

interface PacketHeader {
  readonly tag: number
  readonly bodyAt: number
  /** Undefined for a partial or open length. */
  readonly length: number | undefined
}

function headerAt(head: Uint8Array, at: number): PacketHeader | undefined {
  const [first, one = -1, two = -1, three = -1, four = -1, five = -1] = head.subarray(at, at + 6)
  if (first === undefined || one < 0) return undefined
  if ((first & 0x80) === 0) throw badMessage('a packet does not begin like one')
  if ((first & 0x40) !== 0) {
    const tag = first & 0x3f
    if (one < 192) return { tag, bodyAt: at + 2, length: one }
    if (one < 224)
      return two < 0 ? undefined : { tag, bodyAt: at + 3, length: ((one - 192) << 8) + two + 192 }
    if (one < 255) return { tag, bodyAt: at + 2, length: undefined }
    if (five < 0) return undefined
    return { tag, bodyAt: at + 6, length: ((two * 256 + three) * 256 + four) * 256 + five }
  }
  const tag = (first >> 2) & 0x0f
  switch (first & 3) {
    case 0:
      return { tag, bodyAt: at + 2, length: one }
    case 1:
      return two < 0 ? undefined : { tag, bodyAt: at + 3, length: one * 256 + two }
    case 2:
      return four < 0
        ? undefined
        : { tag, bodyAt: at + 5, length: ((one * 256 + two) * 256 + three) * 256 + four }
    default:
      return { tag, bodyAt: at + 1, length: undefined }
  }
}
