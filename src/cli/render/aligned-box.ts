/** A column of a box: numbers stand on the right, their heading, too. */
export interface BoxColumn {
  readonly title: string
  readonly isRight?: boolean
}

/** A box of `+`, `-` and `|` without a column that counts, as `wal-show` and `wal-verify` print it. */
export function formatAlignedBox(
  columns: readonly BoxColumn[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map(({ title }, at) =>
    rows.reduce((width, cells) => Math.max(width, cells[at]?.length ?? 0), title.length),
  )
  const border = `+${widths.map(width => '-'.repeat(width + 2)).join('+')}+\n`
  const line = (cells: readonly string[]): string => {
    const padded = columns.map(({ isRight }, at) => {
      const cell = cells[at] ?? ''
      return isRight === true ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)
    })
    return `|${padded.map(cell => ` ${cell} `).join('|')}|\n`
  }
  return `${border}${line(columns.map(({ title }) => title))}${border}${rows.map(line).join('')}${border}`
}
