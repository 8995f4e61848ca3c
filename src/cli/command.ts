import type { CodecDescription } from '../codec/codec.ts'
import type { Logger } from '../kit/log.ts'
import type { Progress } from '../kit/progress.ts'
import type { GivenSetting, SettingTexts } from '../kit/settings.ts'
import type { StorageDescription } from '../storage/description.ts'
import type { OpenedStorage } from '../storage/failover/find-alive.ts'
import type { Storage } from '../storage/storage.ts'
import type { OpenOptions } from './invocation.ts'
import type { Settings } from './settings.ts'

export interface FlagDefinition {
  /** Without dashes: `delta-from-name`. */
  readonly name: string
  readonly short?: string
  readonly type: 'boolean' | 'string' | 'strings' | 'number' | 'uint32' | 'uint' | 'duration'
  /** In the help, instead of the name of the type. */
  readonly placeholder?: string
  readonly doc: string
  /** Not in the help, still accepted. */
  readonly hidden?: boolean
  readonly isRequired?: boolean
}

export type PositionalRule =
  | { readonly kind: 'none' }
  | { readonly kind: 'any' }
  | { readonly kind: 'exact'; readonly count: number }
  | { readonly kind: 'range'; readonly min: number; readonly max: number; readonly isSaidInFull?: boolean }
  /** Exactly one, out of these. */
  | { readonly kind: 'words'; readonly words: readonly string[] }

/**
 * One verb, as data. `cli/main.ts` holds the list of names and summaries; the module with `run` is imported
 * only when its verb is called.
 */
export interface CommandDefinition {
  readonly name: string
  /** As the help of the original has it, e.g. `backup-push db_directory`. */
  readonly usage: string
  readonly summary: string
  readonly long?: string
  readonly positionals: PositionalRule
  readonly flags: readonly FlagDefinition[]
  readonly hidden?: boolean
  /** Throws USAGE for arguments that the rule lets through and that mean nothing; answered with the usage. */
  readonly check?: (parsed: Pick<Invocation, 'positionals' | 'flags'>) => void
  /**
   * A group: the word behind the verb chooses one of these; without one, or with another, its help is printed. The
   * group's own flags belong to each of them.
   */
  readonly subcommands?: readonly CommandDefinition[]
  /** false: runs without any storage configured (help, flags, completion). */
  readonly needsStorage: boolean
  /** false: wrong settings are no matter to it (help, flags, completion). */
  readonly needsSettings?: boolean
  /** Its traffic has the limit of WAL: a backup's must not starve archiving or recovery. */
  readonly isWalTraffic?: boolean
  /** Stored objects are opened: a key that cannot open them is an error before any work. */
  readonly opensPayloads?: boolean
  /** Shown in the help between usage and flags. */
  readonly examples?: string
  run(invocation: Invocation): Promise<number>
}

/** One verb as the front door knows it before its module is loaded. */
export interface CommandEntry {
  readonly name: string
  readonly summary: string
  /** Works, but is not listed. */
  readonly hidden?: boolean
  readonly load: () => Promise<{ readonly command: CommandDefinition }>
}

/** Where a push goes: one storage, with its mirrors. */
export interface PushStorage {
  readonly storage: Storage
  readonly storageDescription: StorageDescription
  /** The other storages that answer and are no mirrors: read only, opened by the first call. None when one is asked for by name. */
  elsewhere(): Promise<readonly OpenedStorage[]>
  /** Brings mirrors what they missed; for WAL only a little, because the server waits. */
  fillMirrors(isWal: boolean): Promise<void>
  /** Reports what mirrors lack, keeps what was found out about storages (`failure`: of the command), closes. */
  end(failure?: unknown): Promise<void>
}

/** The storages that are alive, of those that a command works on. */
export interface FetchStorages {
  readonly first: OpenedStorage
  readonly others: readonly OpenedStorage[]
  /** All of them as one: the first that has an object. */
  readonly merged: Storage
  /** Configured as well, but not alive: what is not found may be there. */
  readonly dead: readonly StorageDescription[]
  /** Keeps what was found out about storages (`failure`: of the command), closes. */
  end(failure?: unknown): Promise<void>
}

export interface Invocation {
  readonly positionals: readonly string[]
  readonly flags: Readonly<Record<string, string | boolean | number | readonly string[] | undefined>>
  readonly settings: Settings
  /** Where the settings came from: for a program that is to be called with the same ones. */
  readonly configuration: {
    /** The config file that was read, as it was named. */
    readonly file: string | undefined
    /** Every setting that counts, by the name that stands for it, as it was given. */
    given(): ReadonlyMap<string, GivenSetting>
  }
  readonly log: Logger
  readonly progress: Progress
  /** Aborted by SIGINT, SIGTERM, SIGHUP and SIGQUIT. */
  readonly signal: AbortSignal
  /** Writes to stdout and resolves when it is handed over; EPIPE ends quietly. */
  print(text: string | Uint8Array): Promise<void>
  /** Opens the primary storage, or the one given, and makes sure that its root answers. */
  openStorage(options?: OpenOptions): Promise<Storage>
  /** The first storage that is alive, or that of `--target-storage`, with its mirrors. */
  openForPush(options?: Pick<OpenOptions, 'isProved' | 'mayBeUnseen'>): Promise<PushStorage>
  /** Every storage that is alive, or that of `--target-storage`. */
  openForFetch(options?: Pick<OpenOptions, 'isProved'>): Promise<FetchStorages>
  openForDelete(): Promise<FetchStorages>
  /** The primary storage. */
  readonly storageDescription: StorageDescription
  /** Every configured storage, the primary first. */
  readonly storageDescriptions: readonly StorageDescription[]
  readonly codecDescription: CodecDescription
  /** The settings as they were given, for storages that are named elsewhere (the config files of `copy`). */
  readonly texts: SettingTexts
  /** How this program calls itself again (wal-prefetch): `executable ...args <verb> … ...globalArgs`. */
  readonly program: {
    readonly executable: string
    readonly args: readonly string[]
    /** `--config`, `--turbo` and the setting flags of this call, as `--name=value`. */
    readonly globalArgs: readonly string[]
  }
}
