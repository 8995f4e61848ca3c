import type { Client } from 'pg'

/** A session of the package, for those who speak the protocol themselves. */
export type PgClient = Client
