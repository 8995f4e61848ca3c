import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { effectiveUserName } from './user-database.ts'

test('the name of the user is that of the id, whatever $USER says', () => {
  const script = `import { effectiveUserName } from ${JSON.stringify(path.join(import.meta.dir, 'user-database.ts'))}
console.log(effectiveUserName())`
  const name = spawnSync('id', ['-un'], { encoding: 'utf8' }).stdout
  for (const USER of [undefined, '', 'somebody-else']) {
    const env = { ...process.env, USER, LOGNAME: USER, USERNAME: USER }
    expect(spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', env }).stdout).toBe(name)
  }
})

test('a user that is not in the file is asked for, and may have no name at all', () => {
  using place = tempDirectory('users')
  const uid = process.geteuid?.()
  const passwdFile = place.at('passwd')
  writeFileSync(passwdFile, `+::::::\nbackup:x:${uid}:1::/b:/bin/sh\nother:x:${uid}1:1::/o:/bin/sh\n`)
  expect(effectiveUserName({ passwdFile, askName: ['false'] })).toBe('backup')
  writeFileSync(passwdFile, `other:x:${uid}1:1::/o:/bin/sh\n`)
  expect(effectiveUserName({ passwdFile, askName: ['echo', 'from-ldap'] })).toBe('from-ldap')
  for (const askName of [['sh', '-c', 'echo 4242; exit 1'], ['true'], [place.at('missing')]] as const) {
    expect(effectiveUserName({ passwdFile, askName })).toBeUndefined()
  }
})
