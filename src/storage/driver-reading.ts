import type { SettingProblem } from '../kit/settings.ts'

/** What the reader of a storage (`drivers/<kind>/read-settings.ts`) makes of its settings. */
export interface DriverReading<Description> {
  /** Undefined when there are problems. */
  readonly description?: Description
  /** Everything that is wrong; no work may begin. */
  readonly problems: readonly SettingProblem[]
  /** Sentences for the log. */
  readonly warnings: readonly string[]
}
