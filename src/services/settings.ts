import { text } from '../kit/setting-parsers.ts'
import type { SettingsTable } from '../kit/settings.ts'

/** Of the daemon, of metrics and of profiling; none of them exists yet, none changes what is stored. */
export const serviceSettings: SettingsTable = {
  WALG_DAEMON_WAL_UPLOAD_TIMEOUT: ignored('Longest push inside the daemon.', 'the daemon is a later piece'),
  WALG_STATSD_ADDRESS: ignored('Where to send statsd metrics.', 'metrics are a later piece'),
  WALG_STATSD_EXTRA_TAGS: ignored('Tags for those metrics.', 'metrics are a later piece'),
  HTTP_LISTEN: ignored('Address of a debug HTTP server.', 'a later piece'),
  HTTP_EXPOSE_PPROF: ignored('Profiles on that server.', 'a profiler of the Go runtime'),
  HTTP_EXPOSE_EXPVAR: ignored('Variables on that server.', 'a facility of the Go runtime'),
  PROFILE_SAMPLING_RATIO: ignored('Share of runs to profile.', 'a profiler of the Go runtime'),
  PROFILE_MODE: ignored('What to profile.', 'a profiler of the Go runtime'),
  PROFILE_PATH: ignored('Where to put profiles.', 'a profiler of the Go runtime'),
}

function ignored(doc: string, why: string): SettingsTable[string] {
  return { parse: text, doc, ignored: why }
}
