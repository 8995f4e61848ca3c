import { WalgError } from '../../kit/errors.ts'
import type { Cluster, ConnectionSettings, ConnectOptions } from './cluster.ts'

/**
 * Connects as libpq would with these settings (hosts, sockets, service and password files, TLS, session
 * attributes). Throws SETTING_INVALID, CLUSTER_UNREACHABLE (every host tried and why), VERSION_UNSUPPORTED (older than 13).
 */
export async function connectCluster(
  settings: ConnectionSettings,
  options: ConnectOptions,
): Promise<Cluster> {
  options.signal.throwIfAborted()
  throw new WalgError('NOT_AVAILABLE', `connecting to ${settings['PGHOST']} is not there yet`)
}
