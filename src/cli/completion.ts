/** completion: a script for a shell, written from the table of verbs. It completes verbs, options and fixed words; never task ids, which would need a look at the database at each key. */
import type { Act } from './context.ts'
import type { Choice, Verb } from './verb-shape.ts'
import { verbs } from './verb.ts'

export const completion: Act = async ({ draw }, said) => {
  const [shell = 'bash'] = said.args
  draw(shell === 'zsh' ? zsh() : shell === 'fish' ? fish() : bash())
  return 0
}

const flagsOf = ({ flags }: Choice): string[] => [...flags.matchAll(/--?[a-z][a-z-]*/g)].map(([flag]) => flag)
const wordsOf = ({ words, among }: Verb['args'][number]): readonly string[] => words ?? among ?? []
const globals = ['--json', '--help']
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
const names = ['tri-agent', 'tri-agent-ctl']

/** `case` lines: the words after `verb option`, then those after `verb`. */
function bash(): string {
  const afterOption = verbs.flatMap(({ name, options }) =>
    options.flatMap((option) =>
      option.words
        ? [
            `    ${flagsOf(option)
              .map((flag) => `${name}:${flag}`)
              .join('|')}) words=${quote(option.words.join(' '))} ;;`,
          ]
        : [],
    ),
  )
  const files = verbs.flatMap(({ name, options }) =>
    options.flatMap((option) =>
      option.flags.includes('<path>') ? flagsOf(option).map((flag) => `${name}:${flag}`) : [],
    ),
  )
  const afterVerb = verbs.map(({ name, options, args }) => {
    const words = [...args.flatMap(wordsOf), ...options.flatMap(flagsOf), ...globals]
    return `      ${name}) words=${quote(words.join(' '))} ;;`
  })
  return `# bash completion for tri-agent
_tri_agent() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} verb=\${COMP_WORDS[1]} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ${quote([...verbs.map(({ name }) => name), ...globals, '--version'].join(' '))} -- "$word"))
    return
  fi
  case $verb:$before in
    ${files.join('|')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
${afterOption.join('\n')}
    *) case $verb in
${afterVerb.join('\n')}
    esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _tri_agent ${names.join(' ')}
`
}

function zsh(): string {
  const described = (name: string, about: string) => quote(`${name}:${about}`)
  const cases = verbs.map(({ name, options, args }) => {
    const specs = options.flatMap((option) =>
      flagsOf(option).map((flag) => {
        const takes = /<([a-z]+)>/.exec(option.flags)?.[1]
        const action = option.words ? `(${option.words.join(' ')})` : takes === 'path' ? '_files' : ''
        return quote(
          `${option.repeats ? '*' : ''}${flag}[${option.about.replaceAll(/[[\]]/g, '')}]${takes ? `:${takes}:${action}` : ''}`,
        )
      }),
    )
    const words = args.flatMap((arg, index) => {
      const known = wordsOf(arg)
      return known.length > 0 ? [quote(`${index + 1}:word:(${known.join(' ')})`)] : []
    })
    return `    ${name}) _arguments ${[...specs, ...words, quote('--json[answer in JSON]'), quote('--help[say how it is used]')].join(' ')} ;;`
  })
  return `#compdef ${names.join(' ')}
_tri_agent() {
  local -a verbs
  verbs=(${verbs.map(({ name, about }) => described(name, about)).join(' ')})
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  local verb=$words[2]
  shift words
  (( CURRENT-- ))
  case $verb in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = "_tri_agent" ]; then _tri_agent; else compdef _tri_agent ${names.join(' ')}; fi
`
}

function fish(): string {
  const lines = names.flatMap((program) => [
    `complete -c ${program} -f`,
    `complete -c ${program} -l json -d 'answer in JSON'`,
    ...verbs.flatMap(({ name, about, args, options }) => [
      `complete -c ${program} -n __fish_use_subcommand -a ${name} -d ${quote(about)}`,
      ...args
        .map(wordsOf)
        .filter((words) => words.length > 0)
        .map((words) => `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -a ${quote(words.join(' '))}`),
      ...options.map((option) => {
        const short = /(?:^|\s)-([a-z])\b/.exec(option.flags)?.[1]
        const long = /--([a-z-]+)/.exec(option.flags)![1]
        const takes = /<([a-z]+)>/.exec(option.flags)?.[1]
        const words = option.words
          ? ` -xa ${quote(option.words.join(' '))}`
          : takes === 'path'
            ? ' -rF'
            : takes
              ? ' -x'
              : ''
        return `complete -c ${program} -n '__fish_seen_subcommand_from ${name}' -l ${long}${short ? ` -s ${short}` : ''}${words} -d ${quote(option.about)}`
      }),
    ]),
  ])
  return `# fish completion for tri-agent\n${lines.join('\n')}\n`
}
