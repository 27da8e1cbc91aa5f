/** The verbs that end, remove and attack things, as data: a part of verb.ts's table. */
import type { Verb } from './verb-shape.ts'

export const tidyVerbs: readonly Verb[] = [
  {
    name: 'kill',
    group: 'Decide',
    args: [
      { name: '<what>', about: 'a task, or: all, family' },
      { name: '[name]', about: 'of the family' },
    ],
    about: 'End at once what is under way, and say what survived; it stays held or paused until you say so',
    options: [{ flags: '--why <reason>', about: 'the reason, for the log' }],
    examples: ['tri-agent kill 7k2m', 'tri-agent kill family openai', 'tri-agent kill all --why "it spends too much"'],
    load: async () => (await import('./kill.ts')).kill,
  },
  {
    name: 'reap',
    group: 'Check',
    args: [],
    about: 'End and remove what is left on this machine and belongs to nobody; the daemon does it by itself',
    options: [{ flags: '--dry-run', about: 'only say what, and why' }],
    examples: ['tri-agent reap --dry-run', 'tri-agent reap'],
    load: async () => (await import('./reap.ts')).reap,
  },
  {
    name: 'clean',
    group: 'Check',
    args: [],
    about: 'Free space: leftovers, set-up layers, stores of forgotten repositories, transcripts of tasks that are over',
    options: [{ flags: '-y, --yes', about: 'do it; else it is only said, and asked at a terminal' }],
    examples: ['tri-agent clean', 'tri-agent clean --yes'],
    load: async () => (await import('./reap.ts')).clean,
  },
  {
    name: 'audit',
    group: 'Check',
    args: [],
    about: 'Attack the sandbox of this machine and report what it held; harmless, about half a minute',
    options: [],
    examples: ['tri-agent audit', 'tri-agent audit --json'],
    load: async () => (await import('./audit.ts')).audit,
  },
  {
    name: 'chaos',
    group: 'Check',
    args: [],
    about: 'Kill and starve the whole product on a scratch repository and count what is lost: nothing; about a minute',
    options: [
      { flags: '--kills <n>', about: 'so many kills of daemon, worker or agent; default: 20' },
      { flags: '--seed <n>', about: 'the blows of an earlier one, in the same order; else they are drawn' },
      { flags: '--keep', about: 'leave its database, transcripts and repository to be looked at' },
    ],
    examples: ['tri-agent chaos', 'tri-agent chaos --kills 100 --json', 'tri-agent chaos --seed 7 --keep'],
    load: async () => (await import('./chaos.ts')).chaos,
  },
]
