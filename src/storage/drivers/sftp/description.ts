/** A directory behind SFTP, as plain data that a worker opens it from. Secrets are inside: never logged. */
export interface SftpDescription {
  readonly kind: 'sftp'
  readonly host: string
  readonly port: number
  readonly username: string
  /** Absolute path of the directory. */
  readonly root: string
  readonly password?: string
  /** The private key itself, in any of the formats of OpenSSH, PEM or PuTTY. */
  readonly privateKey?: string
  readonly passphrase?: string
  /** What the server may prove to be; absent: nobody said, and it is not checked. */
  readonly hostKeys?: SftpHostKeys
}

/** The keys of the server that are believed. */
export interface SftpHostKeys {
  /** Whole keys, base64, as in `known_hosts`. */
  readonly keys: readonly string[]
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  readonly fingerprints: readonly string[]
  /** Keys that have been revoked, base64. */
  readonly revoked: readonly string[]
  /** Where they come from, for messages: a file, or the name of a setting. */
  readonly source: string
}
