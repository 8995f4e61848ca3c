import type { ConnectionSettings } from '../postgres/cluster/cluster.ts'
import { postgresSettings } from '../postgres/settings.ts'
import type { Settings } from './settings.ts'

/** Every connection setting that is set. */
export function connectionOf(settings: Settings): ConnectionSettings {
  const values = settings as unknown as Readonly<Record<string, unknown>>
  const connection: Record<string, string> = {}
  for (const name of Object.keys(postgresSettings)) {
    const value = values[name]
    if (name.startsWith('PG') && typeof value === 'string') connection[name] = value
  }
  return connection
}
