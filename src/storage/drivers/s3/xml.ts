/** An element of an answer: its text, and its children by name, in order. */
export interface XmlElement {
  readonly name: string
  text: string
  readonly children: XmlElement[]
}

const TOKEN =
  /<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([A-Za-z_][\w:.-]*)((?:"[^"]*"|'[^']*'|[^>"'])*?)(\/?)>|<[?!][\s\S]*?>/g

/**
 * Reads the XML that S3 answers with: elements, text, entities; attributes and namespaces are passed over. Throws
 * SyntaxError for anything that is no such document: half an answer must not be taken for a whole one.
 */
export function parseXml(document: string): XmlElement {
  const root: XmlElement = { name: '', text: '', children: [] }
  const path = [root]
  let end = 0
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(document); match !== null; match = TOKEN.exec(document)) {
    const inside = path[path.length - 1]!
    inside.text += decodeEntities(document.slice(end, match.index))
    end = TOKEN.lastIndex
    const [, data, closing, name, , isEmpty] = match
    if (data !== undefined) inside.text += data
    if (name === undefined) continue
    if (closing === '/') {
      if (path.length === 1 || inside.name !== name) throw new SyntaxError(`unexpected </${name}>`)
      path.pop()
      continue
    }
    const element: XmlElement = { name, text: '', children: [] }
    inside.children.push(element)
    if (isEmpty !== '/') path.push(element)
  }
  const [top] = root.children
  if (path.length !== 1 || top === undefined) throw new SyntaxError('not a whole XML document')
  return top
}

/** The text of a child; undefined when there is none. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return element.children.find(child => child.name === name)?.text
}

export function childrenOf(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter(child => child.name === name)
}

/** Text for an element of a request. */
export function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys may contain them
  return text.replace(/[&<>"'\u0000-\u001f\u007f]/g, each => `&#${each.charCodeAt(0)};`)
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function decodeEntities(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(/&(#x[0-9a-fA-F]+|#\d+|\w+);/g, (whole, name: string) => {
    if (name.startsWith('#x')) return String.fromCodePoint(Number.parseInt(name.slice(2), 16))
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)))
    return ENTITIES[name] ?? whole
  })
}
