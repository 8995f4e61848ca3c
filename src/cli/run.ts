import { basename } from 'node:path'
import type { EncryptionDescription } from '../codec/encryption/description.ts'
import { hasCode, WalgError } from '../kit/errors.ts'
import type { SettingProblem } from '../kit/settings.ts'
import type { StorageDescription } from '../storage/description.ts'
import {
  checkArguments,
  GLOBAL_FLAGS,
  helpFlag,
  isFlagOf,
  type ParsedArguments,
  parseArguments,
  splitCommand,
  TARGET_STORAGE_FLAG,
  VERSION_FLAG,
} from './arguments.ts'
import type { CommandDefinition, Invocation } from './command.ts'
import { COMMANDS, findCommand, LATER_COMMANDS } from './command-list.ts'
import { type Configuration, loadConfiguration } from './configuration/load.ts'
import { knownNames, type SettingsReading } from './configuration/read-settings.ts'
import { EXIT_FAILURE, EXIT_SUCCESS, type ExitFacts, exitCodeOf, exitCodeOfResult } from './exit-code.ts'
import { describeCodec, describeEncryption, openCheckedStorage, withTurbo } from './invocation.ts'
import { openStoragesFor } from './opened-storages.ts'
import { logError, logSettingProblems } from './render/error.ts'
import { FIRST_LOG_OPTIONS, type LogSink, openLog, writeFully } from './render/log.ts'
import { createPrinter } from './render/output.ts'
import { createProgress } from './render/progress.ts'
import { createRedactor } from './render/redaction.ts'
import type { Settings } from './settings.ts'
import { abortOnSignals, STOP_SIGNALS } from './signals.ts'
import { endWaitsOnAbort, readStorages, type StoragesReading, targetProblem } from './storages.ts'

const STDERR = 2

/** What is known so far; a failure at any moment, an uncaught one too, is reported and rated with it. */
interface Session {
  sink: LogSink
  facts: ExitFacts
  redact: (text: string) => string
}

/** Runs one command line and returns its exit status; never throws. */
export async function run(argv: readonly string[]): Promise<number> {
  const session: Session = {
    sink: openLog(FIRST_LOG_OPTIONS),
    redact: text => text,
    facts: {
      verb: undefined,
      positionals: [],
      workingDirectory: process.cwd(),
      pgdata: process.env['PGDATA'] || undefined,
      fetchErrorExitCode: undefined,
    },
  }
  catchStrayErrors(session)
  try {
    return await dispatch(argv, session)
  } catch (error) {
    logError(session.sink, error)
    return exitCodeOf(error, session.facts)
  }
}

async function dispatch(argv: readonly string[], session: Session): Promise<number> {
  const known = knownNames()
  const isSettingFlag = (name: string): boolean => isFlagOf(known, name)
  const { name, rest } = splitCommand(argv, isSettingFlag)
  if (name === undefined) return runRoot(rest, isSettingFlag)
  session.facts = { ...session.facts, verb: name }
  if (LATER_COMMANDS.includes(name)) {
    throw new WalgError('NOT_AVAILABLE', `"${name}" is not available yet in this version`)
  }
  const entry = findCommand(name)
  if (entry === undefined) return unknownCommand(name)
  return descend((await entry.load()).command, rest, isSettingFlag, session, [])
}

/** Follows the words behind the verb through groups within groups. */
async function descend(
  command: CommandDefinition,
  rest: readonly string[],
  isSettingFlag: (name: string) => boolean,
  session: Session,
  groups: readonly CommandDefinition[],
): Promise<number> {
  if (command.subcommands === undefined) return runCommand(command, rest, isSettingFlag, session, groups)
  const within = [...groups, command]
  const inner = splitCommand(
    rest,
    isSettingFlag,
    within.flatMap(group => group.flags),
  )
  const chosen = command.subcommands.find(each => each.name === inner.name)
  if (chosen !== undefined) return descend(chosen, inner.rest, isSettingFlag, session, within)
  // No word, or none that it knows: its help, as the original does.
  return runCommand(command, [...inner.rest, '--help'], isSettingFlag, session, groups)
}

async function runRoot(args: readonly string[], isSettingFlag: (name: string) => boolean): Promise<number> {
  const { renderRootHelp } = await import('./render/help.ts')
  const print = createPrinter()
  const help = renderRootHelp(COMMANDS)
  try {
    const { flags, positionals } = parseArguments(
      args,
      [...GLOBAL_FLAGS, helpFlag('wal-g'), VERSION_FLAG],
      isSettingFlag,
    )
    if (flags['version'] === true && flags['help'] !== true) {
      const { versionLine } = await import('./version.ts')
      await print(`${versionLine()}\n`)
    } else if (positionals[0] !== undefined && flags['help'] !== true) {
      return await unknownCommand(positionals[0])
    } else await print(help)
    return EXIT_SUCCESS
  } catch (error) {
    if (!isUsage(error)) throw error
    return usageFailure(error, help.slice(help.indexOf('Usage:')))
  }
}

async function unknownCommand(name: string): Promise<number> {
  const { similarName } = await import('./configuration/similar-name.ts')
  const shown = COMMANDS.filter(entry => entry.hidden !== true).map(entry => entry.name)
  const similar = similarName(name, shown)
  const suggestion = similar === undefined ? '' : `\n\nDid you mean this?\n\t${similar}\n`
  const message = `unknown command "${name}" for "wal-g"${suggestion}`
  writeFully(STDERR, `Error: ${message}\nRun 'wal-g --help' for usage.\n`)
  await createPrinter()(`${message}\n`)
  return EXIT_FAILURE
}

async function runCommand(
  command: CommandDefinition,
  args: readonly string[],
  isSettingFlag: (name: string) => boolean,
  session: Session,
  groups: readonly CommandDefinition[],
): Promise<number> {
  const groupFlags = groups.flatMap(group => group.flags)
  const flags = [...command.flags, ...groupFlags, ...GLOBAL_FLAGS, helpFlag(command.name)]
  let parsed: ParsedArguments | undefined
  let usageError: WalgError | undefined
  try {
    parsed = parseArguments(args, flags, isSettingFlag)
    if (parsed.flags['help'] === true) {
      const { renderCommandHelp } = await import('./render/help.ts')
      await createPrinter()(renderCommandHelp(command, groups))
      return EXIT_SUCCESS
    }
    session.facts = { ...session.facts, positionals: parsed.positionals }
    const path = ['wal-g', ...groups.map(group => group.name), command.name].join(' ')
    checkArguments(path, command.positionals, [...command.flags, ...groupFlags], parsed)
    command.check?.(parsed)
  } catch (error) {
    if (!isUsage(error)) throw error
    usageError = error
  }
  // A usage error waits for the settings: one of them may decide about its exit status.
  const reading = await loadConfiguration({
    configFlag: textFlag(parsed, 'config'),
    settingFlags: parsed?.settingFlags ?? new Map(),
    environment: { ...process.env },
    uid: process.getuid?.(),
  })
  takeSettings(session, reading)
  const logProblem = openConfiguredLog(session, reading)
  if (usageError !== undefined || parsed === undefined) {
    const { renderCommandUsage } = await import('./render/help.ts')
    await usageFailure(session.redact(usageError?.message ?? ''), renderCommandUsage(command, groups))
    return exitCodeOf(usageError, session.facts)
  }
  if (command.needsSettings === false) return perform(command, parsed, reading, {}, session)
  await warnUnknownKeys(session.sink, reading.unknownKeys)
  const encryption = await describeEncryption(reading.settings, command.opensPayloads === true)
  const settings = parsed.flags['turbo'] === true ? withTurbo(reading.settings) : reading.settings
  const storages = command.needsStorage
    ? await readStorages(reading.texts, limitsOf(command, settings))
    : NO_STORAGES
  const warnings = [...reading.warnings, ...encryption.warnings, ...storages.warnings]
  for (const warning of warnings) session.sink.log.warning(warning)
  const problems = [
    ...logProblem,
    ...reading.problems,
    ...encryption.problems,
    ...storages.problems,
    ...targetProblems(command, parsed, reading),
  ]
  if (problems.length > 0) {
    logSettingProblems(session.sink, problems)
    return exitCodeOf(undefined, session.facts)
  }
  const described = { encryption: encryption.description, storages: storages.descriptions }
  return perform(command, parsed, { ...reading, settings }, described, session)
}

/** What the settings name, read before any work. */
interface Described {
  readonly encryption?: EncryptionDescription | undefined
  readonly storages?: readonly StorageDescription[]
}

const NO_STORAGES: StoragesReading = { descriptions: [], problems: [], warnings: [] }

/** WAL has a limit of its own. */
function limitsOf({ isWalTraffic }: CommandDefinition, settings: Settings): Settings {
  if (isWalTraffic !== true) return settings
  return { ...settings, WALG_NETWORK_RATE_LIMIT: settings.WALG_WAL_NETWORK_RATE_LIMIT }
}

async function perform(
  command: CommandDefinition,
  parsed: ParsedArguments,
  reading: Configuration,
  { encryption, storages: descriptions = [] }: Described,
  session: Session,
): Promise<number> {
  const { sink } = session
  const { settings } = reading
  if (settings.WALG_LOG_LEVEL === 'DEVEL') await dumpEnvironment(sink)
  const signal = abortOnSignals(
    STOP_SIGNALS,
    name => sink.log.warning(`Received ${name}, stopping. Once more to leave at once.`),
    () => process.exit(exitCodeOf(new WalgError('CANCELLED', 'interrupted twice'), session.facts)),
  )
  for (const limits of descriptions) await endWaitsOnAbort(limits, signal)
  const storages = new Set<{ close(): Promise<void> }>()
  if (descriptions.some(({ driver }) => driver.kind !== 'fs')) {
    const { onNotice } = await import('../kit/log.ts')
    onNotice((text, level) => (level === 'DEBUG' ? sink.log.debug(text) : sink.log.warning(text)))
  }
  const invocation: Invocation = {
    positionals: parsed.positionals,
    flags: parsed.flags,
    settings,
    configuration: reading,
    log: sink.log,
    progress: createProgress(sink, () => terminalColumns(sink)),
    signal,
    print: createPrinter(signal),
    async openStorage(options = {}) {
      const description = options.description ?? invocation.storageDescription
      const storage = await openCheckedStorage(description, options, signal)
      storages.add(storage)
      return storage
    },
    get storageDescription() {
      const [primary] = descriptions
      if (primary === undefined) throw new Error(`${command.name} is declared to need no storage`)
      return primary
    },
    storageDescriptions: descriptions,
    openForPush: options => openStoragesFor(invocation, 'push', options),
    openForFetch: options => openStoragesFor(invocation, 'fetch', options),
    openForDelete: () => openStoragesFor(invocation, 'delete'),
    texts: reading.texts,
    codecDescription: describeCodec(settings, encryption),
    program: programOf(parsed),
  }
  try {
    return exitCodeOfResult(await command.run(invocation), session.facts)
  } catch (error) {
    // Whatever an aborted step threw, the reason is the signal.
    throw signal.aborted ? withSignal(signal, error) : error
  } finally {
    invocation.progress.end()
    for (const storage of storages) await storage.close()
  }
}

function takeSettings(session: Session, reading: SettingsReading): void {
  const { PGDATA, WALG_FETCH_ERROR_EXIT_CODE } = reading.settings
  session.redact = createRedactor(reading.secrets)
  session.facts = {
    ...session.facts,
    pgdata: PGDATA ?? session.facts.pgdata,
    fetchErrorExitCode: WALG_FETCH_ERROR_EXIT_CODE,
  }
}

/** Replaces the first log by the configured one; a file that cannot be opened is a problem. */
function openConfiguredLog(session: Session, { settings }: SettingsReading): SettingProblem[] {
  const options = {
    level: settings.WALG_LOG_LEVEL,
    destination: settings.WALG_LOG_DESTINATION,
    format: settings.WALG_LOG_FORMAT,
    redact: session.redact,
  }
  try {
    session.sink = openLog(options)
    return []
  } catch (error) {
    session.sink = openLog({ ...options, destination: 'stderr' })
    const reason = error instanceof Error ? error.message : String(error)
    const message = `WALG_LOG_DESTINATION cannot be used: ${reason}`
    return [{ code: 'SETTING_INVALID', names: ['WALG_LOG_DESTINATION'], message }]
  }
}

async function warnUnknownKeys(sink: LogSink, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return
  const { similarName } = await import('./configuration/similar-name.ts')
  const names = [...knownNames().keys()]
  for (const key of keys) {
    const similar = similarName(key, names)
    sink.log.warning(`${key} is unknown${similar === undefined ? '' : `, did you mean ${similar}?`}`)
  }
  sink.log.warning(
    "We found that some variables in your config file detected as 'Unknown'. \n  If this is not right, please create issue https://github.com/wal-g/wal-g/issues/new",
  )
}

/** A target that is named and does not exist is found out before any work. */
function targetProblems(
  { flags }: CommandDefinition,
  parsed: ParsedArguments,
  { settings, problems }: SettingsReading,
): SettingProblem[] {
  const areNamesKnown = !problems.some(({ names }) => names.includes('WALG_FAILOVER_STORAGES'))
  if (!areNamesKnown || !flags.includes(TARGET_STORAGE_FLAG)) return []
  return [targetProblem(textFlag(parsed, 'target-storage'), settings)].filter(
    problem => problem !== undefined,
  )
}

/** At DEVEL: the known settings that the environment holds. */
async function dumpEnvironment(sink: LogSink): Promise<void> {
  sink.log.debug('--- COMPILED ENVIRONMENT VARS ---')
  for (const name of [...knownNames().keys()].sort()) {
    const value = process.env[name]
    if (value !== undefined) sink.log.debug(`\t${name}=${value}`)
  }
}

async function usageFailure(error: WalgError | string, usageText: string): Promise<number> {
  const message = typeof error === 'string' ? error : error.message
  writeFully(STDERR, `Error: ${message}\n${usageText}\n`)
  await createPrinter()(`${message}\n`)
  return EXIT_FAILURE
}

/** Errors that escape every promise still end with the right status. */
function catchStrayErrors(session: Session): void {
  const leave = (error: unknown): void => {
    logError(session.sink, error)
    process.exit(exitCodeOf(error, session.facts))
  }
  process.on('uncaughtException', leave)
  process.on('unhandledRejection', leave)
}

function withSignal(signal: AbortSignal, cause: unknown): WalgError {
  const { reason } = signal
  // a thread that was told to stop knows no more than that
  if (reason instanceof WalgError && hasCode(cause, 'CANCELLED')) return reason
  return new WalgError('CANCELLED', reason instanceof WalgError ? reason.message : 'interrupted', { cause })
}

function programOf(parsed: ParsedArguments): Invocation['program'] {
  const config = textFlag(parsed, 'config')
  const script = process.argv[1]
  const isSource = script !== undefined && /^(bun|node)/.test(basename(process.execPath))
  return {
    executable: process.execPath,
    args: isSource ? [script] : [],
    globalArgs: [
      ...(config === undefined ? [] : [`--config=${config}`]),
      ...(parsed.flags['turbo'] === true ? ['--turbo'] : []),
      ...[...parsed.settingFlags].map(([name, text]) => `--${name}=${text}`),
    ],
  }
}

function terminalColumns(sink: LogSink): number | undefined {
  const isText = sink.options.destination === 'stderr' && sink.options.format === 'text'
  // Loaded only here: it is a third of what the start of a process for one segment costs.
  if (!isText || !process.getBuiltinModule('node:tty').isatty(STDERR)) return undefined
  return process.stderr.columns || 80
}

function textFlag(parsed: ParsedArguments | undefined, name: string): string | undefined {
  const value = parsed?.flags[name]
  return typeof value === 'string' ? value : undefined
}

function isUsage(error: unknown): error is WalgError {
  return hasCode(error, 'USAGE')
}
