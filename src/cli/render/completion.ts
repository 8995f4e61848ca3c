import type { FlagDefinition } from '../command.ts'

/** What a shell needs to know of one verb. */
export interface CompletedCommand {
  readonly name: string
  readonly summary: string
  /** The words of which its argument is one; empty when it takes files or nothing. */
  readonly words: readonly string[]
  readonly flags: readonly FlagDefinition[]
}

export function renderBash(commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ name, flags, words }) => {
    const all = [...flags.flatMap(flagWords), ...words].join(' ')
    return `    ${name}) words='${all}' ;;\n`
  })
  return `# bash completion for wal-g
_wal_g() {
  local cur=\${COMP_WORDS[COMP_CWORD]} before='' verb='' word words
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [ "$word" = = ]; then before==; continue; fi
    case $before$word in -*|=*) ;; *) verb=$word; break ;; esac
    before=''
    [ "$word" = --config ] && before=--config
  done
  if [ -n "$before" ]; then
    COMPREPLY=($(compgen -f -- "$cur"))
    return
  fi
  case $verb in
    '') words='${commands.map(each => each.name).join(' ')} --config --turbo --help --version' ;;
${cases.join('')}    *) words='' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [ "\${#COMPREPLY[@]}" -eq 0 ] && [ -n "$verb" ]; then
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _wal_g wal-g
`
}

export function renderZsh(commands: readonly CompletedCommand[]): string {
  const list = commands.map(({ name, summary }) => `    ${zshQuote(`${name}:${summary}`)}\n`).join('')
  const cases = commands.map(({ name, flags, words }) => {
    const specs = flags.flatMap(zshFlag)
    const rest = words.length > 0 ? `'1:word:(${words.join(' ')})'` : `'*:file:_files'`
    return `    ${name})\n      _arguments ${[...specs, rest].join(' \\\n        ')} ;;\n`
  })
  return `#compdef wal-g
# zsh completion for wal-g
_wal_g() {
  local -a verbs
  local verb
  verbs=(
${list}  )
  local -i at=2
  while (( at < CURRENT )); do
    case $words[at] in
      --config) (( at += 2 )) ;;
      -*) (( at += 1 )) ;;
      *) break ;;
    esac
  done
  if (( at > CURRENT )); then
    _files
    return
  fi
  if (( at == CURRENT )); then
    _describe 'command' verbs
    return
  fi
  verb=$words[at]
  shift $(( at - 1 )) words
  (( CURRENT -= at - 1 ))
  case $verb in
${cases.join('')}  esac
}
if [ "$funcstack[1]" = "_wal_g" ] || [ "$funcstack[1]" = "_wal-g" ]; then
  _wal_g "$@"
else
  compdef _wal_g wal-g
fi
`
}

export function renderFish(commands: readonly CompletedCommand[]): string {
  const verbs = commands.map(({ name, summary }) => {
    return `complete -c wal-g -n '__wal_g_verb_is ""' -f -a ${name} -d ${fishQuote(summary)}\n`
  })
  const flags = commands.flatMap(({ name, flags, words }) => {
    const when = `-n '__wal_g_verb_is ${name}'`
    const lines = flags.map(flag => {
      const short = flag.short === undefined ? '' : ` -s ${flag.short}`
      const value = flag.type === 'boolean' ? '' : ' -r'
      return `complete -c wal-g ${when} -l ${flag.name}${short}${value} -d ${fishQuote(firstLine(flag.doc))}\n`
    })
    if (words.length === 0) return lines
    return [...lines, `complete -c wal-g ${when} -f -a ${fishQuote(words.join(' '))}\n`]
  })
  return `# fish completion for wal-g\n${FISH_VERB}${verbs.join('')}${flags.join('')}`
}

function flagWords(flag: FlagDefinition): string[] {
  return flag.short === undefined ? [`--${flag.name}`] : [`--${flag.name}`, `-${flag.short}`]
}

function zshFlag(flag: FlagDefinition): string[] {
  const doc = firstLine(flag.doc).replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')
  const isSwitch = flag.type === 'boolean'
  const value = isSwitch ? '' : ':value:_files'
  return flagWords(flag).map(word => zshQuote(`${word}${isSwitch ? '' : '='}[${doc}]${value}`))
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/** The first word that is neither a flag nor the file of `--config`; '' before there is one. */
const FISH_VERB = `function __wal_g_verb_is
  set -l words (commandline -opc)
  set -e words[1]
  set -l verb ''
  set -l isFile no
  for word in $words
    if test $isFile = yes
      set isFile no
    else if test "$word" = --config
      set isFile yes
    else if not string match -q -- '-*' $word
      set verb $word
      break
    end
  end
  test "$verb" = "$argv[1]"
end
complete -c wal-g -n '__wal_g_verb_is ""' -l config -r -d 'config file'
`
