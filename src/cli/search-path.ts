/** The directories of PATH, in which the server's programs are looked for. */
export function searchPath(): string[] {
  return (process.env['PATH'] ?? '').split(':').filter(each => each !== '')
}
