/**
 * Parses `KEY=value` lines: comments, `export`, `KEY: value`, quotes (single: literal, double: escapes), and
 * `$NAME` / `${NAME}` outside of single quotes, from `environment` or an earlier line. Throws with the number
 * of a line that is none of this; never quotes the line, which may hold a secret.
 */
export function parseDotenv(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const values: Record<string, string> = {}
  const lookUp = (name: string): string => environment[name] ?? values[name] ?? ''
  const lines = text.split(/\r\n|\n|\r/)
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at]!.trim()
    if (line === '' || line.startsWith('#')) continue
    const match = /^(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:=|:\s)\s*(.*)$/.exec(line)
    if (match === null) throw new Error(`line ${at + 1} is not KEY=value`)
    const [, key, rawValue] = match
    values[key!] = parseValue(rawValue!, at + 1, lookUp)
  }
  return values
}

function parseValue(raw: string, lineNumber: number, lookUp: (name: string) => string): string {
  const quote = raw[0]
  if (quote === "'" || quote === '"') {
    const end = closingQuote(raw, quote)
    if (end < 0) throw new Error(`line ${lineNumber} has no closing quote`)
    const rest = raw.slice(end + 1).trim()
    if (rest !== '' && !rest.startsWith('#')) throw new Error(`line ${lineNumber} goes on after the quote`)
    const inner = raw.slice(1, end)
    return quote === "'" ? inner : expand(unescapeText(inner), lookUp)
  }
  return expand(raw.replace(/(^|\s+)#.*$/, '').trim(), lookUp)
}

function closingQuote(raw: string, quote: string): number {
  for (let at = 1; at < raw.length; at += 1) {
    if (raw[at] === '\\' && quote === '"') at += 1
    else if (raw[at] === quote) return at
  }
  return -1
}

/** `\$` stays as it is here, so that `expand` can tell it from a variable. */
function unescapeText(text: string): string {
  return text.replace(/\\([^$])/g, (_all, letter: string) => {
    if (letter === 'n') return '\n'
    if (letter === 'r') return '\r'
    return letter
  })
}

function expand(text: string, lookUp: (name: string) => string): string {
  return text.replace(
    /\\\$|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)/g,
    (all, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare
      return name === undefined ? all.slice(1) : lookUp(name)
    },
  )
}
