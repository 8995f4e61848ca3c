import { join } from 'node:path'
import { passwdHome } from './passwd-home.ts'

/** A folder of that name where this program keeps what it must remember on this host: in `$HOME`, else in the user's. */
export function stateFolder(name: string): string {
  const home = process.env['HOME'] || passwdHome(process.getuid?.(), undefined) || '/tmp'
  return join(home, name)
}
