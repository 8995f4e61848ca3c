import { readFileSync } from 'node:fs'

/**
 * Home directory of the current user as the user database has it, not `$HOME` (archive_command often runs
 * with a foreign or empty one). Users that `/etc/passwd` does not know fall back to `$HOME`.
 */
export function passwdHome(
  uid: number | undefined,
  environmentHome: string | undefined,
  passwdPath = '/etc/passwd',
): string | undefined {
  let entries = ''
  try {
    entries = readFileSync(passwdPath, 'utf8')
  } catch {
    // Without a readable user database only $HOME is left.
  }
  for (const line of entries.split('\n')) {
    const fields = line.split(':')
    if (uid !== undefined && fields[2] === String(uid) && fields[5]) return fields[5]
  }
  return environmentHome === '' ? undefined : environmentHome
}
