import type { Cluster } from '../../../postgres/cluster/cluster.ts'

/**
 * Reads bytes of a file of the server once more, by its name in the backup. Undefined: the file ends before them, or is gone.
 * `unable`: the server does not let us.
 */
export type ReadAgain = (
  name: string,
  position: number,
  sizeBytes: number,
) => Promise<Uint8Array | undefined | 'unable'>

const FUNCTION = 'pg_catalog.pg_read_binary_file'
const MAY_READ = `select has_function_privilege('${FUNCTION}(text, bigint, bigint, boolean)', 'execute')::text as may`

/** Reads with a function that superusers may call, and roles that have been granted EXECUTE on it. */
export function readAgainThrough(cluster: Cluster): ReadAgain {
  let mayRead: Promise<boolean> | undefined
  return async (name, position, sizeBytes) => {
    mayRead ??= cluster.query(MAY_READ).then(([row]) => row?.['may'] === 'true')
    if (!(await mayRead)) return 'unable'
    const [row] = await cluster.query(
      `select encode(${FUNCTION}($1, $2::bigint, $3::bigint, true), 'hex') as bytes`,
      [name, position, sizeBytes],
    )
    const bytes = Buffer.from(row?.['bytes'] ?? '', 'hex')
    return bytes.length < sizeBytes ? undefined : bytes
  }
}
