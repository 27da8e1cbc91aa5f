/**
 * Every verb as data: what it takes, what it says of itself, and where its code is. Help, completion, and "did you mean" all read this one table.
 * Nothing here is loaded before it is asked for: each `load` names its file by import().
 */
import { lanes } from '../core/lane.ts'
import { kinds, phases, sizes } from '../core/task.ts'
import type { Act } from './context.ts'

export type Choice = {
  /** As commander writes it: `-f, --file <path>`. */
  flags: string
  about: string
  /** May be said several times. Never greedy: `--tag web "Title"` must not swallow the title. */
  repeats?: true
  /** The only words allowed. */
  words?: readonly string[]
}

export const groups = ['Start', 'Ask', 'Look', 'Decide', 'Check'] as const
type Group = (typeof groups)[number]

export type Verb = {
  name: string
  /** Under which heading of the help it stands. */
  group: Group
  /** As commander writes them: `<task>`, `[path]`. */
  args: readonly { name: string; about: string; words?: readonly string[] }[]
  about: string
  options: readonly Choice[]
  examples: readonly string[]
  load: () => Promise<Act>
}

const states = ['ready', 'running', ...phases.filter((phase) => phase !== 'open')]
const task = { name: '<task>', about: 'its id, or the beginning of it' }
const envFile: Choice = {
  flags: '--env-file <path>',
  about: 'read keys and other variables from this file (0600), under those that are set',
}
const why: Choice = { flags: '--why <reason>', about: 'the reason, for the log' }

export const verbs: readonly Verb[] = [
  {
    name: 'demo',
    group: 'Start',
    args: [],
    about: 'See it all at work on a scratch repository, with simulated models',
    options: [],
    examples: ['tri-agent demo'],
    load: async () => (await import('./demo.ts')).demo,
  },
  {
    name: 'init',
    group: 'Start',
    args: [{ name: '[path]', about: 'the repository; default: where you are' }],
    about: 'Set up a repository and your settings; starts nothing, may be repeated',
    options: [
      { flags: '-y, --yes', about: 'ask nothing: write what was found, change existing files' },
      { flags: '--force', about: 'propose tri-agent.yaml anew, in place of the one there; shows the difference first' },
      { flags: '--base <branch>', about: 'the branch work starts from; default: the one checked out' },
      envFile,
    ],
    examples: ['cd my-project && tri-agent init', 'tri-agent init ~/my-project --yes', 'tri-agent init --json'],
    load: async () => (await import('./init.ts')).init,
  },
  {
    name: 'keys',
    group: 'Start',
    args: [
      { name: '<what>', about: 'what to do', words: ['set', 'list', 'remove'] },
      { name: '[family]', about: 'whose key: anthropic, openai, google or the name of another family' },
    ],
    about: "Keep the providers' keys where agents, logs and backups never see them",
    options: [
      { flags: '--from-env <variable>', about: 'take it from this variable, once' },
      { flags: '--from-file <path>', about: 'take it from this file, once (- for stdin)' },
      { flags: '--from-command <command>', about: 'keep this command; it is executed each time the key is needed' },
      {
        flags: '--in-file',
        about: "keep it in a file even where there is a keyring: for a daemon outside one's session",
      },
      { flags: '--force', about: "keep it although it looks like another vendor's" },
    ],
    examples: [
      'tri-agent keys set anthropic',
      'tri-agent keys set openai --from-command "op read op://work/openai/key"',
      'tri-agent keys set google --from-env GOOGLE_API_KEY',
      'tri-agent keys list',
    ],
    load: async () => (await import('./vendor-key.ts')).keys,
  },
  {
    name: 'up',
    group: 'Start',
    args: [],
    about: 'Start the daemon that carries tasks out',
    options: [
      { flags: '-d, --detach', about: 'leave it in the background and come back once it answers' },
      { flags: '--unattended', about: 'land without a person wherever the review policy asks for none' },
      {
        flags: '--trust',
        about: 'agree to the commands of all repositories as they are on their bases; else you are asked',
      },
      envFile,
    ],
    examples: [
      'tri-agent up',
      'tri-agent up --detach',
      'tri-agent up --detach --trust',
      'tri-agent up --env-file .env.prod',
    ],
    load: async () => (await import('./up.ts')).up,
  },
  {
    name: 'down',
    group: 'Start',
    args: [],
    about: 'Stop the daemon; what is under way goes back to the queue',
    options: [],
    examples: ['tri-agent down'],
    load: async () => (await import('./down.ts')).down,
  },
  {
    name: 'add',
    group: 'Ask',
    args: [{ name: '[title]', about: 'what you want, in one line; may stand in the file instead' }],
    about: 'Queue a task for the repository you are in',
    options: [
      { flags: '-f, --file <path>', about: 'a Markdown file with the whole text (- for stdin), front matter allowed' },
      { flags: '--text <text>', about: 'the whole text, said here' },
      { flags: '--lane <lane>', about: 'how urgent it is', words: lanes },
      { flags: '--size <size>', about: 'medium and large tasks are planned first', words: sizes },
      { flags: '--kind <kind>', about: 'what it is; review and architect answer with a report', words: kinds },
      { flags: '--tag <tag>', about: 'a label; family:NAME chooses who implements', repeats: true },
      { flags: '--after <task>', about: 'only once that task is done', repeats: true },
      { flags: '--accept <criterion>', about: 'what must be true at the end', repeats: true },
      { flags: '--budget <usd>', about: 'at most so many dollars' },
      { flags: '--ref <ref>', about: 'for --kind review: the branch or commit to judge' },
      { flags: '--repo <name>', about: 'another repository than the one you are in' },
    ],
    examples: [
      'tri-agent add "Retry uploads that time out" --kind fix --accept "a test shows the retry"',
      'tri-agent add -f task.md --lane critical --budget 2.50',
      'tri-agent add "Is this branch safe?" --kind review --ref feature/login',
    ],
    load: async () => (await import('./add.ts')).add,
  },
  {
    name: 'list',
    group: 'Look',
    args: [],
    about: 'List tasks, newest first',
    options: [
      { flags: '-a, --all', about: 'all of them' },
      { flags: '--state <state>', about: 'only this state', words: states, repeats: true },
      { flags: '--repo <name>', about: 'only this repository' },
      { flags: '--limit <n>', about: 'at most so many' },
    ],
    examples: ['tri-agent list', 'tri-agent list --state escalated --state awaiting-approval'],
    load: async () => (await import('./list.ts')).list,
  },
  {
    name: 'show',
    group: 'Look',
    args: [task],
    about: 'Show one task whole, and what to type next',
    options: [{ flags: '--at <when>', about: 'as it was then: 2h (ago), or 2026-11-24, or "2026-11-24 15:04"' }],
    examples: ['tri-agent show task_7k2m', 'tri-agent show 7k2m --json', 'tri-agent show 7k2m --at 2h'],
    load: async () => (await import('./show.ts')).show,
  },
  {
    name: 'status',
    group: 'Look',
    args: [],
    about: "One screen: the daemon, its work, what waits for you, today's cost",
    options: [],
    examples: ['tri-agent status'],
    load: async () => (await import('./status.ts')).status,
  },
  {
    name: 'log',
    group: 'Look',
    args: [{ name: '[what]', about: 'check that nobody changed it', words: ['verify'] }],
    about: 'What happened, one line per event',
    options: [
      { flags: '-f, --follow', about: 'go on as it happens' },
      { flags: '--task <task>', about: 'only of this task' },
      { flags: '--type <type>', about: 'only this type of event', repeats: true },
      { flags: '--since <when>', about: 'all since then: 2h, or 2026-11-24, or "2026-11-24 15:04"' },
      { flags: '--limit <n>', about: 'the last so many; default: 50' },
    ],
    examples: [
      'tri-agent log -f',
      'tri-agent log --task 7k2m --since 2h',
      'tri-agent log --type task.landed --json',
      'tri-agent log verify',
    ],
    load: async () => (await import('./log.ts')).log,
  },
  {
    name: 'replay',
    group: 'Look',
    args: [task],
    about: 'Tell how a task came to be as it is: event by event, and what each one changed',
    options: [],
    examples: ['tri-agent replay 7k2m', 'tri-agent replay 7k2m --json'],
    load: async () => (await import('./replay.ts')).replay,
  },
  {
    name: 'output',
    group: 'Look',
    args: [task],
    about: "Read along with a task's agent",
    options: [
      { flags: '-f, --follow', about: 'go on until the attempt ends' },
      { flags: '--attempt <n>', about: 'which attempt, by its number; default: the last with an agent' },
      { flags: '--raw', about: 'as the agent printed it' },
    ],
    examples: ['tri-agent output 7k2m --follow', 'tri-agent output 7k2m --attempt 1'],
    load: async () => (await import('./output.ts')).output,
  },
  {
    name: 'watch',
    group: 'Look',
    args: [],
    about: 'Watch the work as it happens',
    options: [{ flags: '--until-idle', about: 'stop once nothing moves any more without you' }],
    examples: ['tri-agent watch', 'tri-agent watch --until-idle'],
    load: async () => (await import('./watch.ts')).watch,
  },
  {
    name: 'approve',
    group: 'Decide',
    args: [task],
    about: 'Let a reviewed commit land',
    options: [{ flags: '--commit <sha>', about: 'only if this is what was reviewed' }],
    examples: ['tri-agent approve 7k2m', 'tri-agent approve 7k2m --commit 3f9c2ab'],
    load: async () => (await import('./decide.ts')).approve,
  },
  {
    name: 'reject',
    group: 'Decide',
    args: [task],
    about: 'Send a reviewed commit back to its implementer',
    options: [{ flags: '--why <reason>', about: 'what is wrong; the implementer reads it' }],
    examples: ['tri-agent reject 7k2m --why "it must not touch the parser"'],
    load: async () => (await import('./decide.ts')).reject,
  },
  {
    name: 'retry',
    group: 'Decide',
    args: [task],
    about: 'Open an escalated task again where it stopped',
    options: [],
    examples: ['tri-agent retry 7k2m'],
    load: async () => (await import('./decide.ts')).retry,
  },
  {
    name: 'cancel',
    group: 'Ask',
    args: [task],
    about: 'Give a task up; what runs for it is ended',
    options: [why],
    examples: ['tri-agent cancel 7k2m --why "no longer wanted"'],
    load: async () => (await import('./decide.ts')).cancel,
  },
  {
    name: 'prioritize',
    group: 'Ask',
    args: [task],
    about: 'Change the order',
    options: [
      { flags: '--lane <lane>', about: 'put it into this lane', words: lanes },
      { flags: '--first', about: 'before everything else' },
      { flags: '--no-first', about: 'no longer before everything else' },
    ],
    examples: ['tri-agent prioritize 7k2m --lane critical', 'tri-agent prioritize 7k2m --first'],
    load: async () => (await import('./decide.ts')).prioritize,
  },
  {
    name: 'hold',
    group: 'Ask',
    args: [task],
    about: 'Start nothing new for a task until it is released',
    options: [why],
    examples: ['tri-agent hold 7k2m --why "wait for the release"'],
    load: async () => (await import('./decide.ts')).hold,
  },
  {
    name: 'release',
    group: 'Ask',
    args: [task],
    about: 'Let a held task go on',
    options: [],
    examples: ['tri-agent release 7k2m'],
    load: async () => (await import('./decide.ts')).release,
  },
  {
    name: 'route',
    group: 'Check',
    args: [{ name: '[task]', about: 'a task that is there; or describe one with --title' }],
    about: 'Say which family would take a task, and why',
    options: [
      { flags: '--explain', about: 'every rule that was considered' },
      { flags: '--title <title>', about: 'a task that is not there' },
      { flags: '--kind <kind>', about: 'its kind', words: kinds },
      { flags: '--size <size>', about: 'its size', words: sizes },
      { flags: '--tag <tag>', about: 'its labels', repeats: true },
    ],
    examples: ['tri-agent route 7k2m --explain', 'tri-agent route --title "Explain the parser" --kind docs --explain'],
    load: async () => (await import('./route.ts')).routeTask,
  },
  {
    name: 'doctor',
    group: 'Check',
    args: [],
    about: 'Say what works here, what is missing, and how to mend it',
    options: [
      {
        flags: '--live',
        about: 'ask each configured model for one token (less than a cent each): key, model, limits, cost',
      },
      {
        flags: '--gates',
        about: "execute the repository's gates once on its base, and say what to choose for red ones",
      },
      { flags: '--profile <profile>', about: 'what else is asked for', words: ['production'] },
      envFile,
    ],
    examples: [
      'tri-agent doctor',
      'tri-agent doctor --live --gates',
      'tri-agent doctor --profile production --env-file .env.prod',
    ],
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'config',
    group: 'Check',
    args: [
      {
        name: '[what]',
        about: 'show (default), or schema: the shape of a file for editors',
        words: ['show', 'schema'],
      },
      { name: '[file]', about: 'for schema: which file', words: ['operator', 'repository'] },
    ],
    about: 'Show the settings in force, or the schema of a settings file',
    options: [{ flags: '--origin', about: 'where each value comes from' }],
    examples: ['tri-agent config show --origin', 'tri-agent config schema repository > tri-agent.schema.json'],
    load: async () => (await import('./config.ts')).config,
  },
  {
    name: 'verify-history',
    group: 'Check',
    args: [],
    about: 'Check every landed commit against the log',
    options: [{ flags: '--repo <name>', about: 'only this repository' }],
    examples: ['tri-agent verify-history'],
    load: async () => (await import('./verify-history.ts')).verifyHistory,
  },
  {
    name: 'db',
    group: 'Check',
    args: [{ name: '<what>', about: 'what to do', words: ['migrate', 'check', 'export-schema', 'shell'] }],
    about: 'Look after the database: bring it up to date, check it, ask it',
    options: [
      { flags: '-c, --command <sql>', about: 'for shell: these statements, then leave' },
      { flags: '--read-only', about: 'for shell: nothing can be written (it never can)' },
    ],
    examples: [
      'tri-agent db migrate',
      'tri-agent db check',
      'tri-agent db export-schema > schema.sql && sqlite3 tasks.db < schema.sql',
      'tri-agent db shell --read-only -c "select state, count(*) from task group by state"',
    ],
    load: async () => (await import('./db.ts')).db,
  },
  {
    name: 'rebuild',
    group: 'Check',
    args: [],
    about: 'Make the tables anew from the log',
    options: [{ flags: '--verify', about: 'only compare; change nothing' }],
    examples: ['tri-agent rebuild --verify'],
    load: async () => (await import('./rebuild.ts')).rebuild,
  },
  {
    name: 'completion',
    group: 'Start',
    args: [{ name: '<shell>', about: 'which shell', words: ['bash', 'zsh', 'fish'] }],
    about: 'Print a completion script for your shell',
    options: [],
    examples: [
      'source <(tri-agent completion bash)',
      'tri-agent completion fish > ~/.config/fish/completions/tri-agent.fish',
    ],
    load: async () => (await import('./completion.ts')).completion,
  },
]
