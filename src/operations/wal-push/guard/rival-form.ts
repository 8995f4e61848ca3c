import type { Codec } from '../../../codec/codec.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { OperationContext } from '../../context.ts'
import type { WalSource } from '../wal-source.ts'
import { askCopies } from './ask-copies.ts'
import { otherFormsIn } from './other-forms.ts'
import { judgeArchived, type Verdict } from './overwrite-guard.ts'

/** A file that lies in the archive as `key`, with its own content. */
export interface ArchivedSource {
  readonly context: OperationContext
  readonly codec: Codec
  readonly source: WalSource
  readonly key: string
}

interface Rival {
  readonly key: string
  readonly verdict: Verdict
}

/**
 * Two pushes of one name in two forms do not meet: each looks, finds nothing, and puts a key of its own. So each looks again
 * before it acknowledges. Whoever finds another content takes back what he has put (`putInto`) and fails; both may,
 * and neither has acknowledged anything then. Throws WAL_OVERWRITE.
 */
export async function refuseRival(archived: ArchivedSource, putInto: readonly Storage[]): Promise<void> {
  const rival = await findRival(archived, ({ kind }) => kind !== 'identical' && kind !== 'gone')
  if (rival === undefined) return
  const failure = await takeBack(archived, putInto)
  throw pushedMeanwhile(archived, rival, failure)
}

/** The same for a file that was there before, as after a push that was killed between put and look: nothing is taken back. */
export async function refuseOtherContent(archived: ArchivedSource): Promise<void> {
  // What is cut or damaged is not delivered: the whole form comes first, or was put when that was looked at.
  const rival = await findRival(archived, ({ kind }) => kind === 'different')
  if (rival === undefined) return
  const { source, key } = archived
  throw new WalgError(
    'WAL_OVERWRITE',
    `WAL file '${source.path}' is archived as "${key}" with equal content, but also as "${rival.key}" with another one`,
    { facts: { key, rival: rival.key, file: source.path }, hint: `${TWO_CLUSTERS}; remove the wrong object` },
  )
}

const TWO_CLUSTERS = 'two clusters may be archiving to the same place'

async function findRival(
  { context, codec, source, key }: ArchivedSource,
  isRival: (verdict: Verdict) => boolean,
): Promise<Rival | undefined> {
  let rival: Rival | undefined
  await askCopies(context.storage, async storage => {
    for (const found of await otherFormsIn(storage, source.name, key, context.signal)) {
      const verdict = await judgeArchived({ storage, codec, source, found })
      if (isRival(verdict)) rival ??= { key: found.key, verdict }
    }
  })
  return rival
}

/** Returns why it was not possible. */
async function takeBack(
  { context, key }: ArchivedSource,
  putInto: readonly Storage[],
): Promise<WalgError | undefined> {
  try {
    for (const storage of putInto) await storage.delete([key], { signal: context.signal })
    return undefined
  } catch (error) {
    if (!(error instanceof WalgError) || hasCode(error, 'CANCELLED')) throw error
    return error
  }
}

function pushedMeanwhile(
  { source, key }: ArchivedSource,
  rival: Rival,
  failure: WalgError | undefined,
): WalgError {
  const found = rival.verdict.kind === 'different' ? 'with other content' : 'which cannot be compared'
  const end =
    failure === undefined
      ? `"${key}", which this push had stored, was removed again`
      : `"${key}", which this push had stored, could not be removed: ${failure.message}`
  const hint =
    failure === undefined
      ? `${TWO_CLUSTERS}; if not, the server's next try settles it`
      : `${TWO_CLUSTERS}; remove the wrong one of the two objects by hand`
  return new WalgError(
    'WAL_OVERWRITE',
    `another push of '${source.name}' has put "${rival.key}" meanwhile, ${found}; ${end}`,
    {
      facts: { key, rival: rival.key, file: source.path },
      ...(failure === undefined ? {} : { cause: failure }),
      hint,
    },
  )
}
