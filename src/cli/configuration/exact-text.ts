import { readFileSync } from 'node:fs'
import { WalgError } from '../../kit/errors.ts'

/** Stands for bytes that are not UTF-8 when the runtime has made a text of them. */
const REPLACEMENT = '\uFFFD'
const GIVEN_BYTES = ['/proc/self/cmdline', '/proc/self/environ']

/**
 * Throws USAGE for a text that is to be kept exactly as given and was not UTF-8: what came instead of the bytes cannot be told from the
 * text alone, but from the bytes of the command line, the environment and the config file. `what` is for the message.
 */
export function checkExact(
  text: string,
  what: string,
  configFile: string | undefined,
  sources: readonly string[] = GIVEN_BYTES,
): void {
  if (!text.includes(REPLACEMENT)) return
  const bytes = Buffer.from(text)
  const files = configFile === undefined ? sources : [...sources, configFile]
  if (files.some(file => bytesOf(file).includes(bytes))) return
  throw new WalgError('USAGE', `${what} cannot be kept as given: the text is not UTF-8: ${text}`, {
    hint: 'give it in UTF-8; in JSON any character can also be written as \\u and four hexadecimal digits',
  })
}

function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch {
    // what cannot be read proves nothing
    return Buffer.alloc(0)
  }
}
