/**
 * A life for tests: a few tasks that are admitted, end in every way an attempt can, and are decided on by a person. All of it is drawn from one
 * seed, and every event comes from the deciders under test; only what an agent, a gate, a person or the wire would say is made up here.
 */
import { admit, type Snapshot } from './admission.ts'
import { noCaps } from './cap.ts'
import type { AttemptAdmitted, AttemptEnded, TaskAdded, TaskEvent } from './event.ts'
import type { Family } from './family.ts'
import { conclude, mayLand, retry, type Ending, type FlowPolicy, type Product } from './flow.ts'
import type { GateReport } from './gate.ts'
import { outcomes, type Outcome } from './outcome.ts'
import { severities, type Finding } from './review.ts'
import { evolve } from './evolve.ts'
import { isOver, type Running, type Task } from './task.ts'

export const threeFamilies: readonly Family[] = ['anthropic', 'openai', 'google']
const noTokens = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 }
const gate = { name: 'test', command: 'npm test', timeoutMs: 1000, baseline: 'block' } as const
const minute = 60_000

export const added = (task: string, more: Partial<TaskAdded> = {}): TaskAdded => ({
  type: 'task.added',
  task,
  repo: 'repo_1',
  title: 'Sell tea',
  text: '',
  kind: 'feature',
  lane: 'normal',
  size: 'small',
  tags: [],
  after: [],
  acceptance: [],
  budgetNanoUsd: null,
  parent: null,
  depth: 0,
  root: task,
  ref: null,
  ...more,
})

export const ended = (
  attempt: string,
  outcome: Outcome = 'passed',
  more: Partial<AttemptEnded> = {},
): AttemptEnded => ({
  type: 'attempt.ended',
  attempt,
  outcome,
  reason: outcome,
  signature: null,
  tokens: noTokens,
  costNanoUsd: 0,
  transcript: null,
  promptSha256: null,
  killed: null,
  ...more,
})

/** An attempt of a gate, its task's first. */
export const admittedGate = (attempt: string, step: 'verify' | 'land'): AttemptAdmitted => ({
  type: 'attempt.admitted',
  attempt,
  token: 1,
  step,
  role: 'gate',
  family: null,
  agent: null,
  model: null,
  finding: null,
  because: null,
})

export const foldTask = (events: readonly TaskEvent[], at = 0): Task =>
  events.reduce<Task | null>((task, event) => evolve(task, event, at), null)!

export const flowPolicy = (more: Partial<FlowPolicy> = {}): FlowPolicy => ({
  unattended: true,
  usable: threeFamilies,
  gates: [gate],
  retry: { attempts: 3, firstMs: 5000, factor: 2, capMs: 300_000, jitter: 0.25, sameSignature: 3 },
  rounds: 3,
  ...more,
})

export const snapshot = (tasks: readonly Task[], more: Partial<Snapshot> = {}): Snapshot => ({
  at: 0,
  tasks,
  dyingLandings: [],
  families: threeFamilies.map((family) => ({
    family,
    agent: 'scripted',
    models: { architect: `${family}-a`, implementer: `${family}-i`, reviewer: `${family}-r` },
    closedUntil: null,
    closedSince: null,
    closedWhy: null,
  })),
  slots: { architect: 1, implementer: 1, reviewer: 1, gate: 1 },
  idleMs: { architect: 0, implementer: 0, reviewer: 0, gate: 0 },
  lendAfterMs: minute,
  laneStepMs: 15 * minute,
  closed: null,
  pauses: [],
  caps: noCaps,
  dayStep: 'open',
  parts: { until: 0, repos: {}, families: {} },
  breaker: null,
  ...more,
})

export type Entry = { task: string; at: number; by: 'world' | 'admission' | 'ending' | 'person'; events: TaskEvent[] }

export type Life = {
  at: number
  tasks: Map<string, Task>
  log: Entry[]
  policy: FlowPolicy
  /** A family whose agent is really driven by a model of another one. */
  speaksAs: Partial<Record<Family, Family>>
  /** A number below `sides`. */
  dice(sides: number): number
  /** Nothing goes wrong, and a person approves and tries again. */
  benign: boolean
  seen(before: Task | null, event: TaskEvent, after: Task, entry: Entry, life: Life): void
}

/** `random` is the only source of chance. */
export type LifeOptions = { random: () => number; seen?: Life['seen']; tasks?: number; policy?: Partial<FlowPolicy> }

/** A life in which some tasks have been added, some of them waiting for others. */
export function startLife({ random, seen = () => {}, tasks = 2, policy = {} }: LifeOptions): Life {
  const dice = (sides: number) => Math.floor(random() * sides)
  const life: Life = {
    at: 1000,
    tasks: new Map(),
    log: [],
    policy: flowPolicy({ unattended: dice(2) === 0, rounds: 1 + dice(3), ...policy }),
    speaksAs: dice(4) === 0 ? { [threeFamilies[dice(3)]!]: threeFamilies[dice(3)]! } : {},
    dice,
    benign: false,
    seen,
  }
  for (let n = 1; n <= tasks; n++) {
    const kind = pick(life, ['feature', 'feature', 'feature', 'fix', 'fix', 'security', 'review', 'architect'] as const)
    happen(life, `task_${n}`, 'person', [
      added(`task_${n}`, {
        kind,
        repo: `repo_${1 + dice(2)}`,
        size: pick(life, ['small', 'medium'] as const),
        lane: pick(life, ['critical', 'normal', 'background'] as const),
        after: n > 1 && dice(4) === 0 ? [`task_${n - 1}`] : [],
        ref: kind === 'review' ? 'topic' : null,
      }),
    ])
  }
  return life
}

const pick = <T>(life: Life, from: readonly T[]): T => from[life.dice(from.length)]!

/** Appends events as the store would: each folded in order. */
function happen(life: Life, id: string, by: Entry['by'], events: TaskEvent[]): void {
  const entry: Entry = { task: id, at: life.at, by, events }
  life.log.push(entry)
  for (const event of events) {
    const before = life.tasks.get(id) ?? null
    const after = evolve(before, event, life.at)
    life.tasks.set(id, after)
    life.seen(before, event, after, entry, life)
  }
}

/** One move: time passes, something is let in, something ends, or a person decides. */
export function move(life: Life): void {
  life.at += pick(life, [0, 1, 7000, 20 * minute])
  const which = life.dice(10)
  if (which < 4) return letIn(life)
  if (which < 9) return endOne(life)
  return decide(life, pick(life, [...life.tasks.values()]))
}

/** Everything that may start, starts. */
export function letIn(life: Life): void {
  const idle = () => (life.dice(3) === 0 ? 2 * minute : 0)
  const world = snapshot([...life.tasks.values()], {
    at: life.at,
    slots: { architect: 1, implementer: 1, reviewer: 1, gate: 2 },
    idleMs: { architect: idle(), implementer: idle(), reviewer: idle(), gate: idle() },
  })
  const families = world.families.map((each) =>
    life.benign || life.dice(8) > 0 ? each : { ...each, closedUntil: life.at + minute },
  )
  for (const { task, ...admission } of admit({ ...world, families })) {
    const attempt = `att_${life.log.length}_${task}`
    const events: TaskEvent[] = [{ type: 'attempt.admitted', attempt, ...admission }]
    if (life.dice(4) > 0) events.push({ type: 'attempt.started', attempt, rung: 'namespace', pid: null })
    happen(life, task, 'admission', events)
  }
}

/** One attempt that is under way ends, or its landing is intended. */
export function endOne(life: Life): void {
  const under = [...life.tasks.values()].flatMap((task) => task.running.map((running) => ({ task, running })))
  if (under.length === 0) return
  const { task, running } = pick(life, under)
  if (running.step === 'land' && task.intent === null && (life.benign || life.dice(4) > 0)) {
    if (!mayLand(task, running.attempt)) return conclusion(life, task, running, 'killed', null)
    const n = life.log.length
    const intent = { commit: `landed_${n}`, tree: `tree_${n}`, parent: null, target: 'main' }
    return happen(life, task.id, 'world', [{ type: 'landing.intended', attempt: running.attempt, ...intent }])
  }
  const outcome: Outcome = life.benign || life.dice(10) < 8 ? 'passed' : pick(life, outcomes)
  if (running.step !== 'land') return conclusion(life, task, running, outcome, productOf(life, task, running))
  if (outcome === 'passed' && task.intent) {
    const { commit, tree, target } = task.intent
    return conclusion(life, task, running, 'passed', { step: 'land', landed: { commit, tree, target } })
  }
  if (task.intent && life.dice(2) === 0)
    happen(life, task.id, 'world', [{ type: 'landing.refused', attempt: running.attempt, why: 'moved' }])
  conclusion(life, life.tasks.get(task.id)!, running, outcome === 'passed' ? 'lost' : outcome, null)
}

function conclusion(life: Life, task: Task, running: Running, outcome: Outcome, product: Product | null): void {
  const told = ['implement', 'verify', 'land'].includes(running.step) && life.dice(3) > 0
  const ending: Ending = {
    ended: ended(running.attempt, outcome, { signature: outcome === 'passed' ? null : `${outcome} ${life.dice(3)}` }),
    product: outcome === 'passed' ? product : null,
    feedback: outcome === 'failed' && told ? 'it does not work' : null,
    rebase: life.dice(4) === 0,
    ...(outcome === 'over-budget' && life.dice(4) > 0 ? { limit: limitOf(life, task, running) } : {}),
  }
  const usable = life.benign || life.dice(5) > 0 ? threeFamilies : threeFamilies.slice(0, 1 + life.dice(3))
  happen(
    life,
    task.id,
    'ending',
    conclude(task, ending, { ...life.policy, usable }, { at: life.at, chance: life.dice(100) / 100 }),
  )
}

function limitOf(life: Life, { id }: Task, { attempt, step, family }: Running): NonNullable<Ending['limit']> {
  const archive = { attempt, family: family ?? 'nobody', base: 'base', session: 's', files: 1, bytes: 1, sha256: 'x' }
  const isKept = step === 'implement' && life.dice(3) > 0
  return { scope: pick(life, [`task/${id}`, 'day/x', 'minute']), until: null, archive: isKept ? archive : null }
}

function productOf(life: Life, task: Task, { step, family, model, finding }: Running): Product {
  const n = life.log.length
  const seen = life.benign ? family : (life.speaksAs[family ?? ''] ?? family)
  const candidate = {
    commit: `commit_${n}`,
    tree: `tree_${n}`,
    base: 'base',
    family: task.kind === 'review' ? 'nobody' : seen!,
    model: model ?? 'unknown',
    files: ['a.ts'],
    added: 1,
    removed: 0,
    message: '',
  }
  switch (step) {
    case 'plan':
      return { step, plan: { approach: 'as asked', files: ['a.ts'], acceptance: [], subTasks: [] }, family: seen! }
    case 'implement':
      return { step, candidate }
    case 'verify':
      return {
        step,
        report: reportOf(life, `tree_${n}`),
        protectedPaths: life.dice(12) === 0 ? ['package.json'] : [],
        ...(task.kind === 'review' ? { subject: candidate } : {}),
      }
    case 'review':
      return { step, family: seen!, model: model!, summary: 'looked at all of it', findings: findingsOf(life, n) }
    case 'reproduce': {
      const verdict = life.benign ? 'undecided' : pick(life, ['confirmed', 'undecided'] as const)
      return { step, finding: finding!, by: 'behaviour', verdict, evidence: 'exit 1' }
    }
    case 'crosscheck': {
      const verdict = life.benign
        ? 'dismissed'
        : pick(life, ['confirmed', 'dismissed', 'dismissed', 'undecided'] as const)
      return { step, finding: finding!, by: seen!, verdict, evidence: 'read it' }
    }
    case 'land':
      throw new Error('a landing is made from its intent')
  }
}

function reportOf(life: Life, tree: string): GateReport {
  const state = life.benign || life.dice(8) > 0 ? 'green' : pick(life, ['red', 'timed-out'] as const)
  const results: GateReport['results'] = [
    { name: gate.name, command: gate.command, state, exitCode: 0, ms: 1, tail: 'said so' },
  ]
  return { tree, key: 'k', results: !life.benign && life.dice(20) === 0 ? [] : results, baseline: [], reused: false }
}

const findingsOf = (life: Life, n: number): Finding[] =>
  Array.from({ length: life.benign || life.dice(2) === 0 ? 0 : life.dice(3) }, (_, index) => ({
    id: `fnd_${n}_${index}`,
    file: 'a.ts',
    line: 1,
    severity: pick(life, severities),
    claim: 'it leaks',
    proof: life.dice(2) === 0 ? 'npm run leak' : null,
  }))

/** A person decides something that the commands allow. */
function decide(life: Life, task: Task): void {
  const { id, round } = task
  const person = (...events: TaskEvent[]) => happen(life, id, 'person', events)
  if (isOver(task)) return
  if (task.phase === 'awaiting-approval' && life.dice(3) > 0)
    return life.dice(3) > 0
      ? person({ type: 'task.approved', commit: round!.commit, by: 'person:ada' })
      : person({ type: 'task.rejected', commit: round!.commit, by: 'person:ada', why: 'not like this' })
  if (task.phase === 'parked' && life.dice(3) > 0) return person({ type: 'task.resumed', why: 'more money' })
  if (task.phase === 'escalated' && life.dice(3) > 0 && !waitsForNever(life, task)) return person(...retry(task))
  const which = life.dice(4)
  if (which === 0 && task.intent === null) return cancel(life, task)
  if (which === 1) return person({ type: 'task.prioritized', lane: 'critical', override: life.dice(2) === 0 })
  return person(task.held === null ? { type: 'task.held', why: 'wait' } : { type: 'task.released' })
}

const waitsForNever = (life: Life, { after }: Task): boolean =>
  after.some((id) => life.tasks.get(id)!.phase === 'cancelled')

function cancel(life: Life, { id }: Task): void {
  happen(life, id, 'person', [{ type: 'task.cancelled', why: 'no longer wanted' }])
  for (const other of life.tasks.values())
    if (other.phase === 'open' && other.after.includes(id))
      happen(life, other.id, 'person', [{ type: 'task.escalated', why: `${id} was cancelled`, evidence: '' }])
}

/** From here on nothing goes wrong and a person answers. True when every task came to its end within so many days. */
export function liveOn(life: Life, days: number): boolean {
  life.benign = true
  for (let day = 0; day < days; day++) {
    for (const task of life.tasks.values()) {
      if (task.phase === 'escalated' && waitsForNever(life, task)) cancel(life, task)
      else if (task.phase === 'escalated') happen(life, task.id, 'person', retry(task))
      else if (task.phase === 'parked') happen(life, task.id, 'world', [{ type: 'task.resumed', why: 'a new day' }])
      else if (task.phase === 'awaiting-approval')
        happen(life, task.id, 'person', [{ type: 'task.approved', commit: task.round!.commit, by: 'person:ada' }])
      if (task.held !== null && !isOver(task)) happen(life, task.id, 'person', [{ type: 'task.released' }])
    }
    life.at += 60 * minute
    letIn(life)
    while ([...life.tasks.values()].some((task) => task.running.length > 0)) endOne(life)
    if ([...life.tasks.values()].every(isOver)) return true
  }
  return false
}

/** A task of OpenAI's making, under review by the two other families. */
export const underReview = (id: string): Task =>
  foldTask([
    added(id),
    {
      type: 'round.opened',
      round: 1,
      commit: 'c',
      base: 'b',
      author: 'openai',
      policy: { families: ['anthropic', 'google'], person: false, advisory: null, checkers: [], why: '' },
    },
  ])
