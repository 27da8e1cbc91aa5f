/** A story: what happens to one simulated daemon, when, drawn from a seed. Plain data, so that it can be printed, shortened and told again. */
import type { Pausable } from '../../src/core/pause.ts'
import type { TroubleKind } from './machine.ts'
import { diceFor, type Dice } from './chance.ts'

export type Deed = 'approve' | 'reject' | 'retry' | 'cancel' | 'hold' | 'hold-now' | 'release' | 'prioritize'
/** Which way a command goes: by the daemon's own connection, where it may die with the wish in its hands, on the file, or over the socket. */
export type Through = 'daemon' | 'file' | 'socket'
export type Step = {
  /** Which step of the drawn story it is. */
  n: number
  /** Milliseconds since the story began. */
  at: number
} & (
  | {
      what: 'add'
      title: string
      /** So many alike at once. */
      count: number
      kind: string
      size: string
      lane: string
      repo: number
      /** The so-manieth task before this one is needed first; 0: none. */
      after: number
      through: Through
      budgetNanoUsd: number | null
    }
  /** `pick` in [0, 1) says which of the tasks that can be decided on. */
  | { what: 'person'; deed: Deed; pick: number; through: Through }
  /** What the day, a part of it, or a task (`pick`) may cost more. */
  | {
      what: 'raise'
      of: 'day' | 'repo' | 'family' | 'task'
      name: string
      pick: number
      byNanoUsd: number
      through: Through
    }
  | { what: 'pause'; scope: Pausable; name: string; now: boolean; through: Through }
  | { what: 'resume'; pick: number; through: Through }
  | { what: 'branch'; repo: number; deed: 'commit' | 'merge' | 'check-out' | 'leave'; file: number }
  /** Dies at the so-manieth point after `at`, or after the next time it has moved a branch, and stays away for a while. */
  | { what: 'crash'; points: number; landing?: true; awayMs: number }
  /** Cleanly: it waits so long for what is under way. */
  | { what: 'stop'; patienceMs: number; awayMs: number }
  | { what: 'reboot'; awayMs: number }
  | { what: 'sleep'; ms: number }
  | { what: 'clock'; ms: number }
  | { what: 'disk-full'; ms: number }
  | { what: 'memory-short'; ms: number }
  | { what: 'provider'; family: string; kind: TroubleKind; ms: number }
  /** There is no network at all; the first act is not over before there is one again. */
  | { what: 'blackout'; ms: number }
  | { what: 'beats-lost'; ms: number }
  | { what: 'delivered-twice'; ms: number }
  /** A worker freezes (null: all that are at work): nothing reaches it, no beat of it arrives; where it is stuck, nothing kills what it started. */
  | { what: 'frozen'; pick: number | null; isStuck: boolean; ms: number }
)

export type Story = {
  seed: number
  days: number
  families: string[]
  unattended: boolean
  repositories: number
  dayNanoUsd: number
  /** What repositories (`r0`) and families may cost of it; who is not named has no limit of its own. */
  parts: { repositories: Record<string, number>; families: Record<string, number> }
  /** What passes a minute, and at once after a quiet time. */
  pace: { minuteNanoUsd: number; burstNanoUsd: number }
  /** At most so many attempts at once. */
  caps: { repositories: Record<string, number>; families: Record<string, number> }
  /** How often a holder beats; a lease is three beats. */
  beatMs: number
  /** How often its daemons look at what was not said. */
  floorMs: number
  steps: Step[]
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const usd = 1_000_000_000

const usualPace = { minuteNanoUsd: usd, burstNanoUsd: 3 * usd }
/** Of which two requests fit side by side, and what they come to on the way may be too much. */
const narrowPace = { minuteNanoUsd: 0.1 * usd, burstNanoUsd: 0.4 * usd }

/** Draws the story of a seed. */
export function drawStory(seed: number, days: number): Story {
  const dice = diceFor(seed, 'story')
  const families = ['anthropic', 'openai', 'google'].slice(0, dice.pick([3, 3, 3, 2, 1]))
  const story: Story = {
    seed,
    days,
    families,
    unattended: dice.hits(0.5),
    repositories: dice.pick([1, 1, 2]),
    dayNanoUsd: dice.pick([75, 75, 30, 10, 3]) * usd,
    parts: { repositories: {}, families: {} },
    pace: diceFor(seed, 'pace').hits(0.2) ? narrowPace : usualPace,
    caps: { repositories: {}, families: {} },
    beatMs: diceFor(seed, 'beat').pick([1, 4, 4]) * (minute / 2),
    // a day of looks every second would take most of the time there is, and hide wake-ups that never come
    floorMs: diceFor(seed, 'floor').pick([1, 10, 10, 10, 30, 30, 30, 30]) * (minute / 2),
    steps: [],
  }
  drawLimits(story)
  const draw = (name: string, perDay: number, make: (dice: Dice, n: number) => StepOf) => {
    const count = Math.round(perDay * days)
    for (let n = 0; n < count; n++) {
      const own = diceFor(seed, `${name} ${n}`)
      story.steps.push({ at: own.between(0, days * day), ...make(own, n) } as Step)
    }
  }
  drawPerson(draw, story)
  drawFaults(draw, families)
  drawAmbushes(story)
  const dark = diceFor(seed, 'dark')
  if (dark.hits(0.1))
    story.steps.push({ n: 0, at: dark.between(0, days * day), what: 'blackout', ms: dark.pick([5 * minute, day]) })
  rest(story)
  story.steps.sort((a, b) => a.at - b.at)
  for (const [n, step] of story.steps.entries()) step.n = n
  return story
}

/** Now and then nobody does anything for days, and whatever waits, waits: what ages, is swept or resumes by itself does so then. */
function rest({ seed, days, steps }: Story): void {
  const dice = diceFor(seed, 'rest')
  for (let left = dice.pick([0, 0, 1, 1, 2]); left > 0; left--) {
    const from = dice.between(0, days * day)
    const ms = dice.pick([1, 2, 4, 9, 20]) * day
    for (const step of steps) if (step.at >= from) step.at += ms
  }
}

type StepOf = Step extends infer S ? (S extends Step ? Omit<S, 'at' | 'n'> : never) : never
type Draw = (name: string, perDay: number, make: (dice: Dice, n: number) => StepOf) => void

/** In one story of three some of the repositories and families may cost only so much a day, in one of five only so much of them may be under way. */
function drawLimits({ seed, repositories, families, parts, caps }: Story): void {
  const names = Array.from({ length: repositories }, (_, n) => `r${n}`)
  const some = (dice: Dice, from: readonly string[], most: readonly number[], unit: number) =>
    Object.fromEntries(from.filter(() => dice.hits(0.5)).map((name) => [name, dice.pick(most) * unit]))
  const money = diceFor(seed, 'parts')
  if (money.hits(1 / 3)) {
    parts.repositories = some(money, names, [1, 2, 5], usd)
    parts.families = some(money, families, [1, 2, 5], usd)
  }
  const many = diceFor(seed, 'caps')
  if (!many.hits(0.2)) return
  caps.repositories = some(many, names, [1, 2, 3], 1)
  caps.families = some(many, families, [1, 1, 2], 1)
}

function drawPerson(draw: Draw, { repositories, families, parts }: Story): void {
  const through = (dice: Dice) => dice.pick<Through>(['daemon', 'file', 'socket'])
  draw('add', 18, (dice, n) => ({
    what: 'add',
    title: `T${n} change`,
    count: dice.pick([1, 1, 1, 3]),
    kind: dice.pick(['feature', 'fix', 'test', 'refactor', 'security', 'architect', 'review']),
    size: dice.pick(['small', 'small', 'medium', 'large']),
    lane: dice.pick(['critical', 'normal', 'normal', 'background']),
    repo: dice.between(0, repositories - 1),
    after: dice.hits(0.2) ? dice.between(1, 4) : 0,
    through: through(dice),
    budgetNanoUsd: dice.hits(0.1) ? dice.between(1, 200) * (usd / 100) : null,
  }))
  const often: [Deed, number][] = [
    ['approve', 30],
    ['reject', 2],
    ['retry', 8],
    ['cancel', 3],
    ['hold', 3],
    ['hold-now', 1],
    ['release', 6],
    ['prioritize', 5],
  ]
  for (const [deed, perDay] of often)
    draw(deed, perDay, (dice) => ({ what: 'person', deed, pick: dice.roll(), through: through(dice) }))
  draw('pause', 3, (dice) => {
    const scope = dice.pick(['all', 'lane', 'lane', 'repo', 'family'] as const)
    const repo = String(dice.between(0, repositories - 1))
    const names = {
      all: 'all',
      lane: dice.pick(['critical', 'normal', 'background']),
      repo,
      family: dice.pick(families),
    }
    return { what: 'pause', scope, name: names[scope], now: dice.hits(0.3), through: through(dice) }
  })
  const raisable = [
    { of: 'day', name: 'day' },
    { of: 'task', name: 'task' },
    ...Object.keys(parts.repositories).map((name) => ({ of: 'repo', name }) as const),
    ...Object.keys(parts.families).map((name) => ({ of: 'family', name }) as const),
  ] as const
  draw('raise', raisable.length, (dice) => ({
    what: 'raise',
    ...dice.pick(raisable),
    pick: dice.roll(),
    byNanoUsd: dice.between(10, 200) * (usd / 100),
    through: through(dice),
  }))
  draw('resume', 9, (dice) => ({ what: 'resume', pick: dice.roll(), through: through(dice) }))
  for (const [deed, perDay] of [
    ['commit', 3],
    ['merge', 2],
    ['check-out', 1],
    ['leave', 2],
  ] as const)
    draw(`branch ${deed}`, perDay, (dice) => ({
      what: 'branch',
      deed,
      repo: dice.between(0, repositories - 1),
      file: dice.between(0, 7),
    }))
}

function drawFaults(draw: Draw, families: readonly string[]): void {
  const away = (dice: Dice) => dice.pick([second, second, 10 * second, 5 * minute, 2 * hour])
  // few points: it dies while it starts, or in the middle of what has just begun
  draw('crash', 10, (dice) => ({
    what: 'crash',
    points: dice.pick([dice.between(0, 40), dice.between(0, 400), dice.between(0, 4000)]),
    awayMs: away(dice),
  }))
  draw('crash at a landing', 3, (dice) => ({
    what: 'crash',
    points: dice.between(0, 12),
    landing: true,
    awayMs: away(dice),
  }))
  draw('stop', 1, (dice) => ({ what: 'stop', patienceMs: dice.pick([0, second, minute]), awayMs: away(dice) }))
  draw('reboot', 0.5, (dice) => ({ what: 'reboot', awayMs: away(dice) }))
  draw('sleep', 1, (dice) => ({ what: 'sleep', ms: dice.pick([minute, 10 * minute, 8 * hour]) }))
  draw('clock', 1, (dice) => ({ what: 'clock', ms: dice.pick([-day, -hour, -second, minute, 2 * hour]) }))
  draw('disk-full', 1, (dice) => ({ what: 'disk-full', ms: dice.between(minute, 30 * minute) }))
  draw('memory-short', 0.5, (dice) => ({ what: 'memory-short', ms: dice.between(minute, hour) }))
  draw('provider', 4, (dice) => ({
    what: 'provider',
    family: dice.pick(families),
    kind: dice.pick(['429', 'quota', '500', '529', 'hang', 'no-network']),
    ms: dice.between(minute, 40 * minute),
  }))
  draw('beats-lost', 1, (dice) => ({ what: 'beats-lost', ms: dice.between(minute, 5 * minute) }))
  draw('delivered-twice', 2, (dice) => ({ what: 'delivered-twice', ms: dice.between(minute, 20 * minute) }))
  draw('frozen', 6, (dice) => ({
    what: 'frozen',
    pick: dice.pick([null, dice.roll()]),
    isStuck: dice.hits(0.3),
    ms: dice.between(2 * minute, 30 * minute),
  }))
}

/** Some wishes are met by a daemon that dies with them in its hands. */
function drawAmbushes({ seed, steps }: Story): void {
  const ambushes = steps.flatMap((step): Step[] => {
    const dice = diceFor(seed, `ambush ${step.at}`)
    if (step.what !== 'add' || step.through === 'file' || !dice.hits(0.25)) return []
    return [{ n: 0, at: step.at, what: 'crash', points: dice.between(3, 60), awayMs: second }]
  })
  steps.unshift(...ambushes) // before what they lie in wait for
}

/** One line of a story, for people. */
export function sayStep({ n, at, what, ...more }: Step): string {
  const time = `${Math.floor(at / day)}d ${String(Math.floor((at % day) / hour)).padStart(2, '0')}:${String(Math.floor((at % hour) / minute)).padStart(2, '0')}`
  const words = Object.entries(more).map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  return `${String(n).padStart(4)}  ${time}  ${what}  ${words.join(' ')}`
}
