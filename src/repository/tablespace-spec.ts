import path from 'node:path'
import { WalgError } from '../kit/errors.ts'
import { JsonMembers, type JsonValue } from '../kit/json.ts'

/** Tablespaces of a backup: `Spec` of the sentinel and the file of `--restore-spec` (storage-format 2.2). */
export interface TablespaceSpec {
  /** The original PGDATA, without trailing slash. */
  readonly basePrefix: string
  readonly tablespaces: readonly Tablespace[]
}

export interface Tablespace {
  readonly oid: string
  /** Absolute path of the data. */
  readonly location: string
  /** `pg_tblspc/<oid>`. */
  readonly link: string
}

/** Members sorted by key, as the original writes them. */
export function formatTablespaceSpec(spec: TablespaceSpec): JsonValue {
  const members: [string, JsonValue][] = spec.tablespaces.map(({ oid, location, link }) => [
    oid,
    { loc: location, link },
  ])
  members.push(['base_prefix', spec.basePrefix], ['tablespaces', spec.tablespaces.map(({ oid }) => oid)])
  members.sort(([left], [right]) => (left < right ? -1 : 1))
  return {
    rawJson: `{${members.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`,
  }
}

/**
 * Null for an empty object, which the original cannot restore and never writes. Throws FORMAT_INVALID for a
 * spec without `base_prefix` or with a tablespace that is not described.
 */
export function parseTablespaceSpec(text: string): TablespaceSpec | null {
  const members = JsonMembers.parse(text)
  const names = members.strings('tablespaces') ?? []
  const basePrefix = members.string('base_prefix') ?? ''
  if (basePrefix === '') {
    if (names.length === 0) return null
    throw new WalgError('FORMAT_INVALID', 'the tablespace spec has no "base_prefix"')
  }
  const tablespaces = names.map(oid => {
    const entry = members.object(oid)
    const location = entry?.string('loc')
    const link = entry?.string('link')
    if (location === undefined || link === undefined) {
      throw new WalgError('FORMAT_INVALID', `tablespace ${oid} of the spec has no "loc" and "link"`)
    }
    return { oid, location, link }
  })
  return { basePrefix: basePrefix.replace(/(?<=.)\/+$/, ''), tablespaces }
}

/** `--tablespace-mapping OLD=NEW`. */
export interface TablespaceMapping {
  readonly from: string
  readonly to: string
}

/** Reads one as pg_basebackup does: `\=` is a plain equals sign; so is `\,` a plain comma. Throws USAGE. */
export function parseTablespaceMapping(text: string): TablespaceMapping {
  const parts = text.split(/(?<!\\)=/).map(part => part.replace(/\\([=,])/g, '$1'))
  const [from = '', to = ''] = parts
  if (parts.length !== 2 || !path.isAbsolute(from) || !path.isAbsolute(to)) {
    throw new WalgError('USAGE', `invalid tablespace mapping "${text}", must be "OLDDIR=NEWDIR"`, {
      hint: 'both are absolute paths; an equals sign within one is written "\\=", a comma "\\,"',
    })
  }
  return { from: trimmed(from), to: trimmed(to) }
}

/** All values of `--tablespace-mapping`; undefined: it was not given. Throws USAGE, also for a variable of a script that is empty. */
export function parseTablespaceMappings(texts: readonly string[] | undefined): readonly TablespaceMapping[] {
  if (texts?.length === 0) {
    throw new WalgError('USAGE', '--tablespace-mapping names nothing', {
      hint: 'write "OLDDIR=NEWDIR", or leave it out to restore every tablespace to where it was',
    })
  }
  return rejoined(texts ?? []).map(parseTablespaceMapping)
}

/** The values of the flag have been split at every comma. */
function rejoined(texts: readonly string[]): string[] {
  const whole: string[] = []
  for (const text of texts) {
    if (whole.at(-1)?.endsWith('\\') === true) whole.push(`${whole.pop()},${text}`)
    else whole.push(text)
  }
  return whole
}

/** The new place of each tablespace that moves, by OID. Throws USAGE for one that the backup does not have, or has twice. */
export function mappedLocations(
  spec: TablespaceSpec | null,
  mappings: readonly TablespaceMapping[],
): ReadonlyMap<string, string> {
  const locations = new Map<string, string>()
  for (const { from, to } of mappings) {
    const tablespace = spec?.tablespaces.find(({ location }) => trimmed(location) === from)
    if (tablespace === undefined) {
      const known = spec?.tablespaces.map(({ location }) => location) ?? []
      throw new WalgError('USAGE', `the backup has no tablespace at "${from}"`, {
        facts: { location: from },
        hint: known.length === 0 ? 'it has no tablespaces' : `its tablespaces are at ${known.join(', ')}`,
      })
    }
    if (locations.has(tablespace.oid)) {
      throw new WalgError('USAGE', `the tablespace at "${from}" is mapped twice`)
    }
    locations.set(tablespace.oid, to)
  }
  return locations
}

function trimmed(location: string): string {
  return path.normalize(location).replace(/(?<=.)\/+$/, '')
}
