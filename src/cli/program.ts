/**
 * From words to a verb and back to an exit code: 0 done, 1 refused, 2 usage, 70 bug, 75 try again.
 *
 * The table in verb.ts says what there is; commander parses it; what is wrong is said in our words, with the nearest right one.
 */
import { Argument, Command, CommanderError, Option } from 'commander'
import { nearest, oneOf } from '../core/nearest.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { Env } from '../host/path.ts'
import { programVersion } from '../host/version.ts'
import type { Said } from './context.ts'
import { exitCode } from './exit-code.ts'
import { catchBugs, complain } from './failure.ts'
import { out, say } from './say.ts'
import { groups, type Verb } from './verb-shape.ts'
import { verbs } from './verb.ts'

type Answer = { code: number }

/** Carries out what was typed; answers the exit code. Never rejects. */
export async function start(typed: readonly string[], env: Env): Promise<number> {
  const argv = typed[0] === 'help' ? [...typed.slice(1), '--help'] : typed
  const json = argv.includes('--json')
  catchBugs(json)
  const answer: Answer = { code: exitCode.done }
  try {
    const verb = argv.find((word) => !word.startsWith('-')) // no option before the verb takes a value
    if (verb !== undefined && !verbs.some(({ name }) => name === verb))
      return complain(unknownVerb(verb), json, exitCode.usage)
    const program = makeProgram(env, answer, verb)
    if (argv.every((word) => word === '--json')) program.outputHelp()
    else await program.parseAsync([...argv], { from: 'user' })
    return answer.code
  } catch (error) {
    if (!(error instanceof CommanderError)) return complain(error, json)
    return error.exitCode === 0 ? exitCode.done : complain(misuse(error, argv), json, exitCode.usage)
  }
}

/** With every verb for those who ask what there is; else with the one that was typed, because making all of them takes longer than most do. */
function makeProgram(env: Env, answer: Answer, typed: string | undefined): Command {
  const program = new Command('tri-agent')
    .description('Queues software tasks; rival coding agents plan, implement, verify, review and land them.')
    .usage('<verb> [options]')
    .version(programVersion(), '-V, --version', 'print the version')
    .option('--json', 'answer in JSON, for programs')
    .helpOption('-h, --help', 'say how it is used, with examples')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => say(out, text), writeErr: () => {} })
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (command) => `${command.name()} ${argsOf(command)}`.trim(),
    })
    .showSuggestionAfterError(false)
    .addHelpText(
      'after',
      '\nEvery verb has --help with examples. Exit codes: 0 done, 1 refused, 2 usage, 70 bug, 75 try again.',
    )
  for (const group of groups)
    for (const verb of verbs.filter(({ group: own, name }) => own === group && (typed === undefined || typed === name)))
      program.addCommand(makeVerb(program, verb, env, answer).helpGroup(`${group}:`))
  return program
}

const argsOf = (command: Command): string =>
  command.registeredArguments.map((each) => (each.required ? `<${each.name()}>` : `[${each.name()}]`)).join(' ')

function makeVerb(program: Command, verb: Verb, env: Env, answer: Answer): Command {
  const command = new Command(verb.name).description(verb.about).copyInheritedSettings(program)
  for (const { name, about, words } of verb.args)
    command.addArgument(new Argument(name, words ? `${about}: ${words.join(', ')}` : about))
  for (const { flags, about, words, repeats } of verb.options) {
    const option = new Option(
      flags,
      words ? `${about}: ${words.join(', ')}` : repeats ? `${about} (repeatable)` : about,
    )
    if (repeats) option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value])
    command.addOption(option)
  }
  command.addHelpText('after', `\nExamples:\n${verb.examples.map((each) => `  ${each}`).join('\n')}`)
  command.action(async () => {
    const { json, ...options } = command.optsWithGlobals() as Record<string, unknown>
    const wrong = checkWords(verb, command.args, options)
    if (wrong) return void (answer.code = complain(wrong, json === true, exitCode.usage))
    const [{ makeContext }, act] = await Promise.all([import('./context.ts'), verb.load()])
    const context = makeContext(env, json === true)
    const done = await act(context, asSaid(command.args, options))
    answer.code = isRefusal(done) ? complain(done, context.json) : done
  })
  return command
}

/** A word that is not one of those allowed is refused here, with the nearest one, for every verb alike. */
function checkWords(verb: Verb, args: readonly string[], options: Record<string, unknown>): Refusal | null {
  for (const [index, { name, words }] of verb.args.entries()) {
    const word = args[index]
    const wrong = word !== undefined && words ? oneOf(name.replaceAll(/[<>[\]]/g, ''), word, words) : null
    if (isRefusal(wrong)) return wrong
  }
  for (const { flags, words } of verb.options) {
    const name = longFlag(flags)
    const word = options[camel(name)]
    for (const each of Array.isArray(word) ? word : [word]) {
      const wrong = typeof each === 'string' && words ? oneOf(name, each, words) : null
      if (isRefusal(wrong)) return wrong
    }
  }
  return null
}

function asSaid(args: readonly string[], options: Record<string, unknown>): Said {
  return {
    args,
    text: (option) => {
      const value = options[camel(option)]
      return typeof value === 'string' ? value : undefined
    },
    texts: (option) => {
      const value = options[camel(option)]
      return Array.isArray(value) ? value.map(String) : []
    },
    flag: (option) => {
      const value = options[camel(option)]
      return typeof value === 'boolean' ? value : undefined
    },
  }
}

/** `-f, --file <path>` is `file`. */
const longFlag = (flags: string): string => /--(?:no-)?([a-z-]+)/.exec(flags)?.[1] ?? flags
const camel = (name: string): string => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

function unknownVerb(verb: string): Refusal {
  const names = verbs.map(({ name }) => name)
  const near = nearest(verb, names)
  return refuse(
    'unknown-verb',
    `verb ${JSON.stringify(verb)} is not known`,
    near ? `did you mean: tri-agent ${near}` : 'tri-agent --help',
  )
}

/** What commander found wrong, in our words. */
function misuse(error: CommanderError, argv: readonly string[]): Refusal {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? ''
  const typed = argv.find((word) => !word.startsWith('-'))
  const verb = verbs.find(({ name }) => name === typed)
  const usage = `tri-agent ${verb ? `${verb.name} ` : ''}--help`
  if (error.code === 'commander.unknownOption') {
    const flags = [...(verb?.options ?? []).map(({ flags }) => `--${longFlag(flags)}`), '--json', '--help']
    const near = nearest(quoted, flags)
    return refuse(
      'unknown-option',
      `option ${quoted} is not known${verb ? ` to ${verb.name}` : ''}`,
      near ? `did you mean ${near}? See ${usage}` : usage,
    )
  }
  if (error.code === 'commander.excessArguments')
    return refuse(
      'too-many-words',
      `${verb?.name ?? 'tri-agent'} takes fewer words; quote what belongs together`,
      usage,
    )
  return refuse('usage', error.message.replace(/^error: /, ''), usage)
}
