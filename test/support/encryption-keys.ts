import { readSettings } from '../../src/cli/configuration/read-settings.ts'
import type { EncryptionDescription } from '../../src/codec/encryption/description.ts'
import { readEncryption } from '../../src/codec/encryption/read-encryption.ts'

/** The keys that settings stand for, as the program reads them; for reading and writing. */
export async function encryptionOf(
  environment: Readonly<Record<string, string>>,
): Promise<EncryptionDescription | undefined> {
  const { settings, problems } = readSettings({ flags: new Map(), environment, file: undefined })
  const reading = await readEncryption(settings, true)
  const all = [...problems, ...reading.problems].map(({ message }) => message)
  if (all.length > 0) throw new Error(all.join('\n'))
  return reading.description
}
