const HIDDEN = '--HIDDEN--'

/** Shorter texts would hide ordinary words, and are no secrets. */
const SECRET_LENGTH_MIN = 3

/**
 * Replaces secret values wherever they stand in a text: in log lines, in errors of libraries, in JSON and
 * URL encoding, and line by line when the secret has several.
 */
export function createRedactor(secrets: readonly string[]): (text: string) => string {
  const forms = new Set<string>()
  for (const secret of secrets) {
    for (const line of [secret, secret.trim(), ...secret.split(/\r?\n|\\n/)]) {
      if (line.length < SECRET_LENGTH_MIN || /^-----/.test(line)) continue
      forms.add(line)
      forms.add(JSON.stringify(line).slice(1, -1))
      forms.add(encodeURIComponent(line.toWellFormed()))
    }
  }
  const longestFirst = [...forms].sort((a, b) => b.length - a.length)
  if (longestFirst.length === 0) return text => text
  return text => longestFirst.reduce((rest, form) => rest.replaceAll(form, HIDDEN), text)
}
