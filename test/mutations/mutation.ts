/** A recorded way to break one guard, and the test that must notice. `npm run test:mutations [text]` tries them. */
export interface Mutation {
  /** The promise that is broken, in a few words. */
  readonly guard: string
  /** Path of the source from the project's root. */
  readonly file: string
  /** A text that occurs exactly once in the file… */
  readonly find: string
  /** …and what it becomes. */
  readonly replace: string
  /** The test file that must fail then. */
  readonly test: string
  /** A pattern of the titles of its tests to run; default: all. */
  readonly title?: string
}
