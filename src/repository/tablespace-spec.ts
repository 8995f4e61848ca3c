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
