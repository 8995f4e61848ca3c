import { text } from '../kit/setting-parsers.ts'
import type { SettingsTable } from '../kit/settings.ts'

/** The settings of failover storages, which are a later piece. */
export const failoverSettings: SettingsTable = {
  WALG_FAILOVER_STORAGES: {
    parse: text,
    secret: true,
    later: 'failover storages',
    doc: 'Further storages by name, each with its own settings.',
  },
  ...failover('CHECK', 'Whether storages are probed.'),
  ...failover('CHECK_TIMEOUT', 'Longest probe.'),
  ...failover('CHECK_SIZE', 'Size of the probe object.'),
  ...failover('CACHE_LIFETIME', 'How long a result is believed.'),
  ...failover('CACHE_EMA_ALIVE_LIMIT', 'Above it a dead storage is alive again.'),
  ...failover('CACHE_EMA_DEAD_LIMIT', 'Below it a storage is dead.'),
  ...failover('CACHE_EMA_ALPHA_ALIVE_MAX', 'Weight of a result while alive, at most.'),
  ...failover('CACHE_EMA_ALPHA_ALIVE_MIN', 'Weight of a result while alive, at least.'),
  ...failover('CACHE_EMA_ALPHA_DEAD_MAX', 'Weight of a result while dead, at most.'),
  ...failover('CACHE_EMA_ALPHA_DEAD_MIN', 'Weight of a result while dead, at least.'),
}

function failover(name: string, doc: string): SettingsTable {
  return {
    [`WALG_FAILOVER_STORAGES_${name}`]: {
      parse: text,
      ignored: 'failover storages are a later piece',
      doc,
    },
  }
}
