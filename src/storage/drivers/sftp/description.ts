/** A directory behind SFTP, as plain data that a worker opens it from. Secrets may be inside: never logged. */
export interface SftpDescription {
  readonly kind: 'sftp'
  readonly host: string
  /** Absolute path of the directory. */
  readonly root: string
}
