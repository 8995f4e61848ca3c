import { median, ratioOf, type Standing } from './contest.ts'

/** A Markdown table: the first standing is ours, every ratio is ours / the peer's, below 1 is faster. */
export function renderStandings(title: string, standings: readonly Standing[]): string {
  const [ours, ...peers] = standings
  if (ours === undefined) return ''
  const rows = [
    ['', 'wall', 'CPU', 'peak MiB', 'stored MB', 'wall: ours / peer', 'CPU: ours / peer'],
    row(ours, '', ''),
    ...peers.map(peer => row(peer, `**${ratioOf(ours, peer, 'wallMs')}**`, ratioOf(ours, peer, 'cpuMs'))),
  ]
  return `\n**${title}** (n = ${ours.readings.length})\n\n${renderTable(rows)}`
}

function row(standing: Standing, wallRatio: string, cpuRatio: string): string[] {
  const { name, readings, peakBytes, storedBytes } = standing
  return [
    name,
    duration(median(readings.map(reading => reading.wallMs))),
    duration(median(readings.map(reading => reading.cpuMs))),
    (peakBytes / 2 ** 20).toFixed(0),
    storedBytes === undefined ? '' : (storedBytes / 1e6).toFixed(2),
    wallRatio,
    cpuRatio,
  ]
}

function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`
}

/** The first row is the head. */
export function renderTable([head, ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const rule = head!.map((_, column) => (column === 0 ? '---' : '---:'))
  return `${[head!, rule, ...rows].map(line).join('\n')}\n`
}
