import { WalgError } from '../../../kit/errors.ts'
import { expandGlob } from '../../../operations/storage-tools/glob.ts'
import { removeByPath } from '../../../operations/storage-tools/removal.ts'
import {
  keepsVersions,
  removeAllVersions,
  removeVersion,
} from '../../../operations/storage-tools/versions.ts'
import type { CommandDefinition, Invocation } from '../../command.ts'
import { onTargets } from './targets.ts'

export const rmCommand: CommandDefinition = {
  name: 'rm',
  usage: 'rm prefix',
  summary: 'Removes objects by the prefix from the specified storage',
  positionals: { kind: 'exact', count: 1 },
  flags: [
    {
      name: 'all-versions',
      type: 'boolean',
      doc: 'Remove all file versions if versioning is enabled in storage',
    },
    { name: 'version-id', type: 'string', doc: 'Remove a specific object version by its version ID' },
  ],
  needsStorage: true,
  run(invocation) {
    const { flags, signal, positionals } = invocation
    const [path = ''] = positionals
    checkVersionFlags(invocation)
    const versionId = flags['version-id']
    return onTargets(invocation, async ({ storage }) => {
      if (typeof versionId === 'string' && versionId !== '') {
        await removeVersion(storage, path, versionId, { signal })
        return
      }
      const isOfAllVersions = flags['all-versions'] === true && (await keepsVersions(storage, { signal }))
      let paths = [path]
      if (flags['glob'] === true) {
        const { objects, folders } = await expandGlob(storage, path, { signal })
        paths = [...objects, ...folders.map(folder => `${folder}/`)]
      }
      for (const each of paths) {
        if (isOfAllVersions) await removeAllVersions(storage, each, { signal })
        else await removeByPath(storage, each, { signal })
      }
    })
  },
}

function checkVersionFlags({ flags }: Invocation): void {
  if (flags['version-id'] === undefined || flags['version-id'] === '') return
  if (flags['all-versions'] === true) {
    throw new WalgError('SETTING_CONFLICT', '--version-id cannot be used together with --all-versions ')
  }
  if (flags['glob'] === true) {
    throw new WalgError('SETTING_CONFLICT', '--version-id cannot be used together with --glob')
  }
}
