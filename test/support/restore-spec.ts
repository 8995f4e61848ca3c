import { writeFileSync } from 'node:fs'
import { giveToClusterUser } from './cluster-user.ts'

/** Writes a restore spec to `file`, for any user to read: `target`, and where each tablespace (by oid) goes. Returns the flags. */
export function restoreSpec(
  file: string,
  target: string,
  locations: Readonly<Record<string, string>>,
): readonly string[] {
  const links = Object.entries(locations).map(([oid, loc]) => [oid, { loc, link: `pg_tblspc/${oid}` }])
  const tablespaces = Object.keys(locations)
  writeFileSync(file, JSON.stringify({ base_prefix: target, tablespaces, ...Object.fromEntries(links) }))
  giveToClusterUser(file, 0o644)
  return ['--restore-spec', file]
}
