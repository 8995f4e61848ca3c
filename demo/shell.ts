import { spawnSync } from 'node:child_process'
import { asClusterUser } from '../test/support/cluster-user.ts'

const isTerminal = process.stdout.isTTY === true
const bold = (text: string): string => (isTerminal ? `\x1b[1m${text}\x1b[0m` : text)
const dim = (text: string): string => (isTerminal ? `\x1b[2m${text}\x1b[0m` : text)

/** A headline between the steps. */
export function announce(text: string): void {
  console.log(`\n${bold(`== ${text}`)}`)
}

export function remark(text: string): void {
  console.log(dim(`   ${text}`))
}

/** Shows a command as it can be typed again. */
export function show(command: string): void {
  console.log(`${bold('$')} ${command}`)
}

/** Shows and runs one shell command as the user of the server; its output follows, indented. Throws when it fails. */
export function shell(command: string): string {
  show(command)
  const { uid, gid } = asClusterUser
  const result = spawnSync('/bin/sh', ['-c', command], {
    encoding: 'utf8',
    cwd: '/',
    timeout: 120_000,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', HOME: '/' },
    ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
  })
  for (const line of `${result.stdout}${result.stderr}`.trimEnd().split('\n')) {
    if (line !== '') console.log(dim(`  ${line}`))
  }
  if (result.status !== 0)
    throw new Error(`the command failed with ${result.status ?? result.signal}: ${command}`)
  return result.stdout
}
