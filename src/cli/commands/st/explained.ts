import { WalgError } from '../../../kit/errors.ts'

/** Runs a step; its failure says in front what was being done, in the words of the original. */
export async function explained<T>(doing: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (!(error instanceof WalgError) || error.code === 'CANCELLED') throw error
    throw new WalgError(error.code, `${doing}: ${error.message}`, {
      facts: error.facts,
      cause: error.cause,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
}
