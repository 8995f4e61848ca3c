import { WalgError } from '../kit/errors.ts'

/**
 * Compiles a pattern of Go's filepath.Match: `*` and `?` do not cross `/`, `[a-z]`, `[^a-z]`, `\` takes the next
 * character as it is; the whole name must match. Throws USAGE for a pattern that is not well formed; `shown` is how a person has written it.
 */
export function compileGlob(pattern: string, shown: string = pattern): (name: string) => boolean {
  const characters = [...pattern]
  let source = ''
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!
    if (character === '*') source += '[^/]*'
    else if (character === '?') source += '[^/]'
    else if (character === '[') {
      const group = compileClass(characters, at + 1, shown)
      source += group.source
      at = group.last
    } else if (character === '\\') {
      at++
      if (at === characters.length) throw badPattern(shown)
      source += codePoint(characters[at]!)
    } else source += codePoint(character)
  }
  const expression = new RegExp(`^${source}$`, 'su')
  return name => expression.test(name)
}

/** From behind `[`; `last` is the index of `]`. */
function compileClass(
  characters: readonly string[],
  begin: number,
  pattern: string,
): { readonly source: string; readonly last: number } {
  let at = begin
  const isNegated = characters[at] === '^'
  if (isNegated) at++
  let ranges = ''
  let rangesCount = 0
  const take = (): string => {
    let character = characters[at++]
    if (character === undefined || character === '-' || character === ']') throw badPattern(pattern)
    if (character === '\\') character = characters[at++]
    if (character === undefined) throw badPattern(pattern)
    return character
  }
  for (; characters[at] !== ']' || rangesCount === 0; rangesCount++) {
    const low = take()
    let high = low
    if (characters[at] === '-') {
      at++
      high = take()
    }
    // an inverted range matches nothing, as in Go
    if (low.codePointAt(0)! <= high.codePointAt(0)!) ranges += `${codePoint(low)}-${codePoint(high)}`
    if (at >= characters.length) throw badPattern(pattern)
  }
  // in Go a class may match a slash
  return { source: isNegated ? `[^${ranges}]` : `[${ranges}]`, last: at }
}

function codePoint(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`
}

function badPattern(pattern: string): WalgError {
  return new WalgError('USAGE', `the mask "${pattern}" is not a valid pattern`, {
    hint: 'a mask is a shell pattern such as "global/*"; * and ? do not cross a slash',
  })
}
