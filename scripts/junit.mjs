import { existsSync, readFileSync } from 'node:fs'

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function decode(text) {
  return text.replace(/&(#x[0-9a-f]+|#\d+|\w+);/gi, (whole, name) => {
    if (name.startsWith('#x')) return String.fromCodePoint(Number.parseInt(name.slice(2), 16))
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)))
    return ENTITIES[name] ?? whole
  })
}

function attribute(tag, name) {
  return decode(new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? '')
}

/**
 * Reads a JUnit report of `bun test`. Failed and skipped tests as `file: group > title`; a reason in the title
 * (`… [skipped: why]`) stays in it.
 *
 * @param {string} file
 * @returns {{ passed: number, failed: string[], skipped: string[], files: Map<string, number>, reasons: Map<string, string> }} files: all
 *   with a test, and the seconds that its tests took; reasons: what a failed test said, by its title
 */
export function readResults(file) {
  const results = { passed: 0, failed: [], skipped: [], files: new Map(), reasons: new Map() }
  if (!existsSync(file)) return results
  const report = readFileSync(file, 'utf8')
  for (const [, tag, isLeaf, body = ''] of report.matchAll(
    /<testcase\b((?:[^>"]|"[^"]*")*?)(?:(\/)>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const group = attribute(tag, 'classname')
    const source = attribute(tag, 'file')
    results.files.set(source, (results.files.get(source) ?? 0) + Number(attribute(tag, 'time')))
    const title = `${source}: ${group === '' ? '' : `${group} > `}${attribute(tag, 'name')}`
    if (isLeaf) results.passed += 1
    else if (/<(failure|error)\b/.test(body)) {
      results.failed.push(title)
      results.reasons.set(
        title,
        decode(/<(?:failure|error)\b(?:[^>"]|"[^"]*")*>([\s\S]*?)<\//.exec(body)?.[1] ?? '').trim(),
      )
    } else if (/<skipped\b/.test(body)) results.skipped.push(title)
    else results.passed += 1
  }
  return results
}
