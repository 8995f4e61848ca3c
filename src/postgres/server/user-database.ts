import { readFileSync } from 'node:fs'

export interface PasswdEntry {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/** Where the system keeps its users. */
export interface UserDatabase {
  readonly passwdFile: string
  /** Prints the name of the effective user, whatever directory service knows it; ends with 0 only then. */
  readonly askName: readonly [file: string, ...args: string[]]
}

const SYSTEM_DATABASE: UserDatabase = { passwdFile: '/etc/passwd', askName: ['id', '-un'] }
/** A directory service that does not answer must not hold up a backup. */
const ASK_MS_MAX = 5000

/** The users of this host; without a readable user database there are none. */
export function readPasswd(file: string = SYSTEM_DATABASE.passwdFile): PasswdEntry[] {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    // nobody has a name then
  }
  return text.split('\n').flatMap(line => {
    const [name = '', , uid = '', gid = '', , home = '/'] = line.split(':')
    return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : []
  })
}

/**
 * The name of the user whose rights this process has; undefined when the system knows none, as a container may have it.
 * By the id and never by $USER, which `su`, `sudo` and service managers leave at somebody else's name or unset.
 */
export function effectiveUserName(database: UserDatabase = SYSTEM_DATABASE): string | undefined {
  const { passwdFile, askName } = database
  const uid = process.geteuid?.()
  return readPasswd(passwdFile).find(entry => entry.uid === uid)?.name ?? nameByAsking(askName)
}

function nameByAsking([file, ...args]: UserDatabase['askName']): string | undefined {
  // Loaded only here: nearly every user is in the file.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { status, stdout } = spawnSync(file, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: ASK_MS_MAX,
    killSignal: 'SIGKILL',
  })
  const name = status === 0 ? stdout.trim() : ''
  return name === '' ? undefined : name
}
