/**
 * How a task becomes what it is, event by event: it is the fold of its stream and nothing else.
 *
 * Pure: it says what has happened; what may happen next is decided in flow.ts.
 */
import type { TaskAdded, TaskEvent, TokenCount } from './event.ts'
import type { Outcome } from './outcome.ts'
import { judged, openRound, settle } from './review.ts'
import { atFirst, type Kind, type Size, type Step, type Task } from './task.ts'

const firstStep = (kind: Kind, size: Size): Step => {
  if (kind === 'architect') return 'plan'
  if (kind === 'review') return 'verify'
  return size === 'small' ? 'implement' : 'plan'
}

/** The task after one more event. Total: an event that cannot follow is a damaged log and throws. */
export const evolve = (task: Task | null, event: TaskEvent, at: number): Task => advance(task && { ...task }, event, at)

/** The same, but the task given becomes the task after it: for whoever goes through a long log and keeps nothing of what was between. */
export function advance(task: Task | null, event: TaskEvent, at: number): Task {
  if (event.type === 'task.added') return created(event, at)
  if (!task) throw new Error(`${event.type} before task.added: the log is damaged`)
  Object.assign(task, change(task, event, at))
  task.version += 1
  if (task.phase !== 'parked') task.parked = null
  return task
}

function created(event: TaskAdded, at: number): Task {
  const task: Task = {
    ...blank,
    repo: event.repo,
    title: event.title,
    text: event.text,
    kind: event.kind,
    lane: event.lane,
    size: event.size,
    tags: event.tags,
    after: event.after,
    acceptance: event.acceptance,
    budgetNanoUsd: event.budgetNanoUsd,
    parent: event.parent,
    depth: event.depth,
    root: event.root,
    ref: event.ref,
    id: event.task,
    addedAt: at,
    step: firstStep(event.kind, event.size),
    readyAt: at,
  }
  if (event.path !== undefined) task.path = event.path
  return task
}

/** Every field there is, in the order in which they are told: to fill in a copy takes a tenth of the time that a new object takes. */
const blank: Task = {
  repo: '',
  title: '',
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
  root: '',
  ref: null,
  id: '',
  addedAt: 0,
  version: 1,
  phase: 'open',
  step: 'plan',
  readyAt: 0,
  ...atFirst,
}

function change(task: Task, event: Exclude<TaskEvent, TaskAdded>, at: number): Partial<Task> {
  switch (event.type) {
    case 'task.planned':
      return { plan: event.plan, step: 'implement', failures: [] }
    case 'task.split':
      return { phase: 'split', children: event.children }
    case 'task.joined':
      return { phase: 'done' }
    case 'task.prioritized':
      return { lane: event.lane ?? task.lane, override: event.override ?? task.override }
    case 'task.held':
      return { held: event.why, ...(event.now || task.heldNow ? { heldNow: event.now === true } : {}) }
    case 'task.released':
      return { held: null, readyAt: at }
    case 'task.delayed':
      return { notBefore: event.until, why: event.why }
    case 'task.escalated':
      return { phase: 'escalated', why: event.why, evidence: event.evidence }
    case 'task.retried':
      return {
        phase: 'open',
        step: event.step,
        readyAt: at,
        notBefore: null,
        why: null,
        evidence: null,
        failures: [],
        lost: atFirst.lost,
        returns: 0,
      }
    case 'task.parked': {
      const { scope, until, why, archive } = event
      return { phase: 'parked', parked: { scope, until }, why, archive: archive ?? task.archive }
    }
    case 'task.resumed':
      return task.phase === 'parked' ? { phase: 'open', why: null, readyAt: at, notBefore: null } : {}
    case 'task.budgeted':
      return { budgetNanoUsd: event.budgetNanoUsd }
    case 'task.cancelled':
      return { phase: 'cancelled', why: event.why, archive: null }
    case 'task.approved':
      return { phase: 'open', step: 'land', readyAt: at, approval: { commit: event.commit, by: event.by } }
    case 'task.rejected':
      return sentBack(task, { from: 'review', text: `${event.by} rejected it: ${event.why}` }, false, at)
    case 'task.returned':
      return sentBack(task, { from: event.from, text: event.feedback }, event.rebase, at)
    case 'task.reported':
      return { phase: 'done', report: event.report }
    case 'task.landed':
      return {
        phase: 'done',
        intent: null,
        landed: { commit: event.commit, tree: event.tree, target: event.target, at },
      }
    default:
      return changeByAttempt(task, event, at)
  }
}

const sentBack = (task: Task, feedback: Task['feedback'], rebase: boolean, at: number): Partial<Task> => ({
  phase: 'open',
  step: 'implement',
  readyAt: at,
  notBefore: null,
  feedback,
  rebase,
  returns: task.returns + 1,
  approval: null,
  gates: null,
  round: null,
  failures: [],
})

type AttemptEvent = Extract<
  TaskEvent,
  {
    type:
      | `attempt.${string}`
      | `candidate.${string}`
      | `usage.${string}`
      | `tools.${string}`
      | `gates.${string}`
      | `landing.${string}`
  }
>

function changeByAttempt(task: Task, event: Exclude<TaskEvent, { type: `task.${string}` }>, at: number): Partial<Task> {
  switch (event.type) {
    case 'round.opened':
    case 'vote.cast':
    case 'advice.given':
    case 'finding.checked':
    case 'verdict.reached':
      return changeByRound(task, event, at)
    default:
      return changeByWork(task, event, at)
  }
}

function changeByWork(task: Task, event: AttemptEvent, at: number): Partial<Task> {
  switch (event.type) {
    case 'attempt.admitted': {
      const { type: _, because: __, ...running } = event
      return { token: event.token, running: [...task.running, { ...running, admittedAt: at }], notBefore: null }
    }
    case 'attempt.started':
      return {}
    case 'attempt.ended': {
      const ended = task.running.find(({ attempt }) => attempt === event.attempt)
      const failed = !['passed', 'killed', 'lost', 'over-budget', 'rate-limited'].includes(event.outcome)
      return {
        running: task.running.filter(({ attempt }) => attempt !== event.attempt),
        intent: task.intent?.attempt === event.attempt ? null : task.intent,
        // whoever was told to come back later has waited since before
        readyAt: event.outcome === 'rate-limited' ? task.readyAt : at,
        tokens: addTokens(task.tokens, event.tokens),
        costNanoUsd: task.costNanoUsd + event.costNanoUsd,
        lost: lossesAfter(task, event.outcome, ended?.token ?? 0),
        // a session that could not be gone on with is not tried again; the work is
        archive: failed && task.archive ? { ...task.archive, session: null } : task.archive,
        failures:
          failed && ended
            ? [...task.failures, { step: ended.step, family: ended.family, signature: event.signature }]
            : task.failures,
      }
    }
    case 'candidate.taken': {
      const { type: _, ...candidate } = event
      return {
        candidate,
        step: 'verify',
        gates: null,
        round: null,
        approval: null,
        feedback: null,
        rebase: false,
        failures: [],
        archive: null,
      }
    }
    case 'usage.drifted':
    case 'tools.stripped':
    case 'tools.passed':
    case 'tools.used':
      return {}
    case 'gates.finished':
      return { gates: event.report }
    case 'landing.intended': {
      const { type: _, ...intent } = event
      return { intent }
    }
    case 'landing.refused':
      return { intent: null, why: event.why }
  }
}

type RoundEvent = Extract<
  TaskEvent,
  { type: `round.${string}` | `vote.${string}` | `advice.${string}` | `finding.${string}` | `verdict.${string}` }
>

function changeByRound(task: Task, event: RoundEvent, at: number): Partial<Task> {
  if (event.type === 'round.opened') {
    const { type: _, round: number, ...opened } = event
    return { step: 'review', readyAt: at, rounds: number, round: openRound({ number, ...opened }), failures: [] }
  }
  const round = task.round
  if (!round || round.number !== event.round)
    throw new Error(`${event.type} for round ${event.round}, which is not open: the log is damaged`)
  switch (event.type) {
    case 'vote.cast': {
      const { family, model, attempt, commit, summary } = event
      const findings = [...round.findings, ...event.findings.map((finding) => judged(finding, family))]
      return { round: { ...round, votes: [...round.votes, { family, model, attempt, commit, summary }], findings } }
    }
    case 'advice.given':
      return { round: { ...round, advice: { family: event.family, summary: event.summary } } }
    case 'finding.checked': {
      const { by, verdict, evidence } = event
      const findings = round.findings.map((each) =>
        each.id === event.finding ? settle(round, each, { by, verdict, evidence }) : each,
      )
      return { round: { ...round, findings } }
    }
    case 'verdict.reached': {
      const approved = event.verdict === 'approved'
      return {
        round: { ...round, verdict: event.verdict },
        ...(approved ? { phase: 'awaiting-approval' as const, why: round.policy.why } : {}),
      }
    }
  }
}

function lossesAfter({ lost, token }: Task, outcome: Outcome, ended: number): Task['lost'] {
  if (outcome === 'killed') return lost
  if (outcome !== 'lost') return { ...lost, times: 0 }
  return ended <= lost.upTo ? lost : { times: lost.times + 1, upTo: token }
}

const addTokens = (a: TokenCount, b: TokenCount): TokenCount => ({
  input: a.input + b.input,
  cachedInput: a.cachedInput + b.cachedInput,
  cacheWrite: a.cacheWrite + b.cacheWrite,
  output: a.output + b.output,
})
