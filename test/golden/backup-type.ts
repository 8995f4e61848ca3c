/**
 * What the original printed for `backup-list --detail`, with the last column, or key, that ours has in addition: the
 * type of the backup (docs/COMPATIBILITY.md).
 */
export function withBackupType(text: string, argv: readonly string[]): string {
  if (argv[0] !== 'backup-list' || !argv.includes('--detail') || text === '' || text === '[]\n') return text
  if (argv.includes('--json')) return jsonWithType(text, argv.includes('--pretty'))
  return argv.includes('--pretty') ? boxWithType(text) : plainWithType(text)
}

function jsonWithType(text: string, isPretty: boolean): string {
  const types = [...text.matchAll(/"backup_name": ?"([^"]*)"/g)].map(([, name]) => typeOf(name!))
  const end = isPretty ? /\n {4}\}/g : /\}(?=,\{"backup_name"|\]\n$)/g
  return text.replace(end, close => {
    const type = types.shift()
    return isPretty ? `,\n        "backup_type": "${type}"${close}` : `,"backup_type":"${type}"${close}`
  })
}

function plainWithType(text: string): string {
  const [head, ...rows] = text.trimEnd().split('\n') as [string, ...string[]]
  const lines = rows.map(row => `${row.padEnd(head.length + 1)}${typeOf(row.split(' ', 1)[0]!)}`)
  return `${[`${head} backup_type`, ...lines].join('\n')}\n`
}

function boxWithType(text: string): string {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line, number) => {
      if (line.startsWith('+')) return `${line}-------------+`
      const cell = number === 1 ? 'BACKUP TYPE' : typeOf(line.split('|')[2]!.trim())
      return `${line} ${cell.padEnd(11)} |`
    })
  return `${lines.join('\n')}\n`
}

function typeOf(name: string): string {
  return name.includes('_D_') ? 'delta' : 'full'
}
