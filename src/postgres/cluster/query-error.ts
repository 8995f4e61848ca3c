import { WalgError } from '../../kit/errors.ts'

const SQL_STATE = /^[0-9A-Z]{5}$/
const QUERY_CANCELED = '57014'
/** What a person can do about some of the server's refusals. */
const HINTS: Readonly<Record<string, string>> = {
  // insufficient_privilege
  '42501':
    'the role lacks a grant; the guide lists those of a backup user (pg_read_all_settings, EXECUTE on the backup functions)',
  // data_corrupted, index_corrupted
  XX001:
    'the server cannot read a page of its own catalogue: find it with pg_amcheck and mend it, or stop the server and push its data directory as it is',
  XX002:
    'an index of the catalogue is damaged: REINDEX SYSTEM rebuilds it; or stop the server and push its data directory as it is',
}
/** insufficient_privilege is also what the server says when the operating system keeps it from a file. */
const FILE_REFUSED = /: Permission denied$/
const FILE_REFUSED_HINT =
  'the operating system keeps the server from that file: mend its owner and mode on the host of the server, or move it out of the data directory'
/** The server is going away, or has thrown the session out. */
const SESSION_ENDED = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '08006', '08003'])

/** The SQLSTATE of an error that the server sent; undefined for any other error. */
export function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('severity' in error)) return undefined
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && SQL_STATE.test(code) ? code : undefined
}

/** Translates the failure of a statement. `statement` is shown shortened; parameters never are. */
export function fromQueryError(
  error: unknown,
  statement: string,
  place: string,
  timeoutMs: number,
): WalgError {
  if (error instanceof WalgError) return error
  const text = error instanceof Error ? error.message : String(error)
  const sqlState = sqlStateOf(error)
  const shown = statement.replace(/\s+/g, ' ').trim().slice(0, 120)
  if (sqlState === undefined || SESSION_ENDED.has(sqlState)) {
    return new WalgError('CLUSTER_UNREACHABLE', `lost the connection to PostgreSQL at ${place}: ${text}`, {
      facts: { statement: shown, ...(sqlState === undefined ? {} : { sqlState }) },
      cause: error,
    })
  }
  const facts = { sqlState, statement: shown }
  if (sqlState === QUERY_CANCELED && /statement timeout/.test(text)) {
    return new WalgError('TIMEOUT', `${text} after ${timeoutMs} ms (SQLSTATE ${sqlState}): ${shown}`, {
      facts,
      cause: error,
    })
  }
  const hint = hintOf(sqlState, text) ?? (error as { hint?: string }).hint
  return new WalgError('CLUSTER_QUERY', `${text} (SQLSTATE ${sqlState})`, {
    facts,
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  })
}

function hintOf(sqlState: string, text: string): string | undefined {
  return sqlState === '42501' && FILE_REFUSED.test(text) ? FILE_REFUSED_HINT : HINTS[sqlState]
}
