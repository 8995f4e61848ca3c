/** A table as text: cells by row, all rows as long as `columns`. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/**
 * Columns as wide as their widest cell plus one space, the last one without padding: the plain lists of the
 * original. Cells are measured in characters.
 */
export function formatPlainTable(table: Table): string {
  const lines = [table.columns, ...table.rows]
  const widths = columnWidths(lines, text => [...text].length)
  return lines
    .map(cells => `${cells.map((cell, column) => padCell(cell, column, cells.length, widths)).join('')}\n`)
    .join('')
}

function padCell(cell: string, column: number, count: number, widths: readonly number[]): string {
  if (column === count - 1) return cell
  return cell + ' '.repeat(widths[column]! + 1 - [...cell].length)
}

/** A box of `+`, `-` and `|` with upper-case headings and a first column `#` that counts rows from 0. */
export function formatBoxTable(table: Table): string {
  const head = ['#', ...table.columns.map(column => column.toUpperCase())]
  const rows = table.rows.map((cells, number) => [String(number), ...cells])
  const widths = columnWidths([head, ...rows], displayWidth)
  const border = `+${widths.map(width => '-'.repeat(width + 2)).join('+')}+\n`
  const line = (cells: readonly string[]): string =>
    `|${cells.map((cell, column) => ` ${alignCell(cell, widths[column]!, column === 0)} `).join('|')}|\n`
  return `${border}${line(head)}${border}${rows.map(line).join('')}${border}`
}

function alignCell(cell: string, width: number, isRight: boolean): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(cell)))
  return isRight ? space + cell : cell + space
}

function columnWidths(
  lines: readonly (readonly string[])[],
  measure: (text: string) => number,
): readonly number[] {
  return lines[0]!.map((_, column) => Math.max(...lines.map(cells => measure(cells[column]!))))
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u
const COMBINING = /^\p{Mn}$/u

/** Columns of a terminal: East Asian wide characters take two, combining marks none. */
function displayWidth(text: string): number {
  let width = 0
  for (const character of text) width += COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return width
}
