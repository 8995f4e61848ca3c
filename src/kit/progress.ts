/** How far long work has come; operations report, `cli/` draws a bar or prints a line every 30 s. */
export interface Progress {
  /** A new span of work, e.g. `backup-push`; `totalBytes` undefined when unknown. */
  begin(label: string, totalBytes: number | undefined): void
  /** Bytes done since the last call. */
  advance(bytes: number): void
  end(): void
}

export const silentProgress: Progress = { begin() {}, advance() {}, end() {} }
