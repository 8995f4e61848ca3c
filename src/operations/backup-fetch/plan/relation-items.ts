import { WalgError } from '../../../kit/errors.ts'
import { allRelations, type StoredDatabase } from './relation-names.ts'

/** What an item of `--restore-only` stands for, and what it was found to name. */
export interface ItemPattern {
  readonly item: string
  readonly database: RegExp
  /** Of `schema.name`; null: the whole database. */
  readonly relation: RegExp | null
  hasDatabase: boolean
  hasMatch: boolean
}

type Databases = ReadonlyMap<string, StoredDatabase>

interface Place {
  readonly database: RegExp
  readonly relation: RegExp | null
}

/**
 * Reads an item. What the backup has by exactly that name comes before any splitting and any wildcard, because names may hold
 * slashes, dots, stars and blanks; then without the blanks around it. Throws USAGE for one that names nothing.
 */
export function parseItem(item: string, databases: Databases): ItemPattern {
  const trimmed = item.trim()
  const place = findExact(item, databases) ?? findExact(trimmed, databases) ?? split(trimmed, databases)
  return { item: trimmed, ...place, hasDatabase: false, hasMatch: false }
}

/** A name as an item that can be given again: commas separate items, and double quotes are around those that hold some. */
export function listedName(name: string): string {
  return /[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
}

/** A listed name, of a database or of a relation; then, below a database, the short ways to name a relation. */
function findExact(item: string, databases: Databases): Place | undefined {
  if (databases.has(item)) return { database: literal(item), relation: null }
  const below = databasesAbove(item, databases).map(([name, database]) => ({
    name,
    rest: item.slice(name.length + 1),
    known: new Set([...allRelations(database)].map(([relation]) => relation)),
  }))
  const ways: readonly ((rest: string) => string)[] = [rest => rest, qualified, rest => `public.${rest}`]
  for (const way of ways) {
    const found = below.find(({ rest, known }) => known.has(way(rest)))
    if (found !== undefined) {
      return { database: literal(found.name), relation: literal(way(found.rest)) }
    }
  }
  return undefined
}

/** With wildcards, or a name that is not there. */
function split(item: string, databases: Databases): Place {
  const [known] = databasesAbove(item, databases)
  const slash = known?.[0].length ?? item.indexOf('/')
  const database = slash < 0 ? item : item.slice(0, slash)
  const rest = slash < 0 ? null : item.slice(slash + 1)
  if (database === '' || rest === '') {
    throw new WalgError('USAGE', `"${item}" names no database and no table`, {
      hint: 'write database, database/table or database/schema.table',
    })
  }
  return {
    database: known === undefined ? wildcard(database) : literal(database),
    relation: rest === null ? null : wildcard(qualified(rest)),
  }
}

/** Databases that an item begins with, the longest name first. */
function databasesAbove(item: string, databases: Databases): (readonly [string, StoredDatabase])[] {
  return [...databases]
    .filter(([name]) => item.startsWith(`${name}/`))
    .sort(([one], [other]) => other.length - one.length)
}

/** `table` is in the schema public; `schema/table` and `schema.table` are the same. */
function qualified(rest: string): string {
  const slash = rest.indexOf('/')
  if (slash >= 0) return `${rest.slice(0, slash)}.${rest.slice(slash + 1)}`
  return rest.includes('.') ? rest : `public.${rest}`
}

function literal(text: string): RegExp {
  return new RegExp(`^${escaped(text)}$`, 's')
}

function wildcard(text: string): RegExp {
  return new RegExp(`^${text.split('*').map(escaped).join('.*')}$`, 's')
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
