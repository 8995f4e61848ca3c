const NAME = /^[!#$%&'*+.^_`|~0-9a-zA-Z-]+$/

/**
 * Reads S3_REQUEST_ADDITIONAL_HEADERS: a map, or a list of maps, in JSON or in the plain forms of YAML (one `name: value`
 * per line, also with `- ` in front, or `{name: value, …}`). Names come back in lower case; undefined when it is neither.
 */
export function parseHeaders(text: string): Readonly<Record<string, string>> | undefined {
  const document = parseJson(text) ?? parseLines(text)
  const maps = Array.isArray(document) ? document : [document]
  const headers: Record<string, string> = {}
  for (const map of maps) {
    if (typeof map !== 'object' || map === null || Array.isArray(map)) return undefined
    for (const [name, value] of Object.entries(map)) {
      if (!NAME.test(name) || typeof value !== 'string' || /[\r\n]/.test(value)) return undefined
      headers[name.toLowerCase()] = value
    }
  }
  return headers
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseLines(text: string): Record<string, string> | undefined {
  const flow = /^\s*\{(.*)\}\s*$/s.exec(text)
  const lines = flow === null ? text.split('\n') : flow[1]!.split(',')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    if (line.trim() === '') continue
    const match = /^\s*(?:-\s+)?(["']?)([^\s:"']+)\1:\s+(.+?)\s*$/.exec(line)
    if (match === null) return undefined
    headers[match[2]!] = match[3]!.replace(/^(["'])(.*)\1$/, '$2')
  }
  return headers
}
