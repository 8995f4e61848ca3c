/** A storage in a directory, as plain data. */
export interface FsDescription {
  readonly kind: 'fs'
  /** Absolute path; must exist. */
  readonly root: string
  /** false only for tests and for `WALG_TAR_DISABLE_FSYNC`-like wishes: objects are then not durable. */
  readonly isDurable: boolean
  /**
   * For tests: a module whose `openFileSystem(options): FileSystem` stands between the driver and the
   * system, in every thread that opens this description.
   */
  readonly systemModule?: { readonly url: string; readonly options: unknown }
}
