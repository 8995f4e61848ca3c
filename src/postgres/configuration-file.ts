/** A line of postgresql.conf or postgresql.auto.conf that sets something. */
export interface ConfigurationLine {
  /** Lower case: `include`, `include_dir` and `include_if_exists` are among them. */
  readonly name: string
  /** Without quotes. */
  readonly value: string
  /** From 0. */
  readonly line: number
}

const LINE = /^\s*([A-Za-z_][\w$.]*)\s*(?:=\s*|\s+)?('(?:[^'\\]|''|\\.)*'|[^\s#']+)?/

/** Reads a configuration file as the server does; what it would refuse is left out. */
export function parseConfiguration(text: string): readonly ConfigurationLine[] {
  return text.split('\n').flatMap((line, index) => {
    const match = LINE.exec(line)
    if (match === null || match[2] === undefined) return []
    return [{ name: match[1]!.toLowerCase(), value: unquote(match[2]), line: index }]
  })
}

/** The value that counts: the last one. */
export function settingOf(lines: readonly ConfigurationLine[], name: string): string | undefined {
  return lines.findLast(line => line.name === name)?.value
}

function unquote(text: string): string {
  if (!text.startsWith("'")) return text
  return text.slice(1, -1).replace(/''|\\([0-7]{1,3}|.)/g, (whole, escaped: string | undefined) => {
    if (escaped === undefined) return "'"
    const known: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }
    if (/^[0-7]+$/.test(escaped)) return String.fromCharCode(Number.parseInt(escaped, 8))
    return known[escaped] ?? whole.slice(1)
  })
}

/** `name = 'value'`, quoted so that the server reads exactly this value. */
export function formatSetting(name: string, value: string): string {
  return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

/** True where the server takes a boolean for on: `on`, `true`, `yes`, `1` and their beginnings. */
export function isOn(value: string): boolean {
  return /^(on|t|tr|tru|true|y|ye|yes|1)$/i.test(value)
}
