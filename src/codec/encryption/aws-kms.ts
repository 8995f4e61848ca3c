import { DecryptCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms'
import { WalgError } from '../../kit/errors.ts'
import type { AwsKmsKey } from './description.ts'

const ATTEMPTS_MAX = 5

/** The two calls of AWS KMS that are needed. */
export interface AwsKms {
  encrypt(key: Uint8Array): Promise<Uint8Array>
  decrypt(wrapped: Uint8Array): Promise<Uint8Array>
}

/** What the settings leave open comes as the SDK finds it, the endpoint too. */
export function openAwsKmsClient({ keyId, region, credentials }: AwsKmsKey): AwsKms {
  const client = new KMSClient({
    maxAttempts: ATTEMPTS_MAX,
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
  })
  return {
    async encrypt(key): Promise<Uint8Array> {
      try {
        const { CiphertextBlob } = await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: key }))
        return CiphertextBlob ?? new Uint8Array(0)
      } catch (error) {
        throw translated(error, 'encrypt with', keyId)
      }
    },
    async decrypt(wrapped): Promise<Uint8Array> {
      try {
        const command = new DecryptCommand({ KeyId: keyId, CiphertextBlob: wrapped })
        const { Plaintext } = await client.send(command)
        return Plaintext ?? new Uint8Array(0)
      } catch (error) {
        throw translated(error, 'decrypt with', keyId)
      }
    },
  }
}

function translated(error: unknown, doing: string, keyId: string): WalgError {
  const name = error instanceof Error ? error.name : 'unknown'
  const isWrongKey = ['IncorrectKeyException', 'InvalidCiphertextException'].includes(name)
  const isKeyProblem =
    /NotFound|Disabled|AccessDenied|InvalidKeyUsage|KMSInvalidState|Credentials|UnrecognizedClient/.test(name)
  const code = isWrongKey ? 'DECRYPT_FAILED' : isKeyProblem ? 'KEY_INVALID' : 'STORAGE_UNAVAILABLE'
  return new WalgError(code, `AWS KMS does not ${doing} the key "${keyId}": ${name}`, {
    facts: { keyId },
    hint: 'check WALG_CSE_KMS_ID, WALG_CSE_KMS_REGION, the credentials and the policy of the KEY',
    cause: error,
  })
}
