/** The verbs by which a person decides about tasks that are there, as data: a part of verb.ts. */
import { lanes } from '../core/lane.ts'
import type { Choice, Verb } from './verb-shape.ts'

export const task = { name: '<task>', about: 'its id, or the beginning of it' }
const tasks = { name: '[task...]', about: 'ids, or their beginnings' }
const onlyRepo: Choice = { flags: '--repo <name>', about: 'with it, only those of this repository' }
const now: Choice = { flags: '--now', about: 'end what is under way too; its step starts over later' }
const scope: readonly Choice[] = [
  { flags: '--lane <lane>', about: 'a lane', words: lanes },
  { flags: '--repo <name>', about: 'a repository' },
  { flags: '--family <family>', about: 'a family: nothing new is asked of its models' },
]
const why: Choice = { flags: '--why <reason>', about: 'the reason, for the log' }

export const decisions: readonly Verb[] = [
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
    args: [tasks],
    about: 'Open escalated tasks again where they stopped: one, several, or all there are',
    options: [{ flags: '--all', about: 'all that are escalated' }, onlyRepo],
    examples: ['tri-agent retry 7k2m', 'tri-agent list --state escalated', 'tri-agent retry --all --repo shop'],
    load: async () => (await import('./dead-letter.ts')).retry,
  },
  {
    name: 'cancel',
    group: 'Ask',
    args: [tasks],
    about: 'Give tasks up; what runs for them is ended',
    options: [
      why,
      { flags: '--escalated', about: 'all that are escalated; asks for --yes' },
      onlyRepo,
      { flags: '-y, --yes', about: 'with --escalated: yes, all of them' },
    ],
    examples: ['tri-agent cancel 7k2m --why "no longer wanted"', 'tri-agent cancel --escalated --repo shop --yes'],
    load: async () => (await import('./dead-letter.ts')).cancel,
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
    options: [now, why],
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
    name: 'pause',
    group: 'Ask',
    args: [{ name: '[task]', about: 'one task (the same as hold); default: everything' }],
    about: 'Start nothing new until it is resumed: of everything, a lane, a repository, a family or a task',
    options: [...scope, now, why],
    examples: [
      'tri-agent pause --why "the release"',
      'tri-agent pause --lane background',
      'tri-agent pause --repo shop --now',
      'tri-agent pause --family openai',
      'tri-agent pause 7k2m',
    ],
    load: async () => (await import('./pause.ts')).pause,
  },
  {
    name: 'resume',
    group: 'Ask',
    args: [{ name: '[task]', about: 'one task (the same as release); default: the pause of everything' }],
    about: 'End a pause; say it as it was paused',
    options: scope,
    examples: ['tri-agent resume', 'tri-agent resume --lane background', 'tri-agent resume 7k2m'],
    load: async () => (await import('./pause.ts')).resume,
  },
]
