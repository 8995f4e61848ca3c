/** Set by the build (`define`); a run from source says `devel`. */
declare const WALG_VERSION: string | undefined
declare const WALG_REVISION: string | undefined
declare const WALG_BUILD_DATE: string | undefined

/** `wal-g version <version>\t<revision>\t<build date>\tPostgreSQL`, without a line end. */
export function versionLine(): string {
  const version = typeof WALG_VERSION === 'string' ? WALG_VERSION : 'devel'
  const revision = typeof WALG_REVISION === 'string' ? WALG_REVISION : 'devel'
  const buildDate = typeof WALG_BUILD_DATE === 'string' ? WALG_BUILD_DATE : 'devel'
  return `wal-g version ${version}\t${revision}\t${buildDate}\tPostgreSQL`
}
