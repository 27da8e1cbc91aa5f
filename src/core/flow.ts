/**
 * What follows from an attempt's end: the rules of the road between the stages, nothing else. Which steps a task wants then: wanted-step.ts.
 *
 * Pure: the delay's random part and the time are handed in. Every answer is a list of events for the task's own stream.
 */
import type { Archive, AttemptEnded, TaskEvent } from './event.ts'
import type { Family } from './family.ts'
import { blockers, gateFeedback, gateLine, type Gate, type GateReport } from './gate.ts'
import { isRetryable } from './outcome.ts'
import { plural } from './quantity.ts'
import { delayMs, mayRetry, type RetryPolicy } from './retry.ts'
import { checkCheck, checkVote, reviewFeedback, reviewPolicy, verdictOf, type Finding } from './review.ts'
import { evolve } from './evolve.ts'
import type { Candidate, Plan, Step, Task } from './task.ts'
import { owesAdvice } from './wanted-step.ts'

export type FlowPolicy = {
  unattended: boolean
  /** Families with a working agent and credential. */
  usable: readonly Family[]
  gates: readonly Gate[]
  retry: RetryPolicy
  /** How often work may be sent back before a person decides. */
  rounds: number
  least?: { families?: number; person?: boolean }
}

/** What a step that passed has made. */
export type Product =
  | { step: 'plan'; plan: Plan; family: Family }
  | { step: 'implement'; candidate: Omit<Candidate, 'attempt'> }
  | {
      step: 'verify'
      report: GateReport
      protectedPaths: string[]
      asks?: string[]
      subject?: Omit<Candidate, 'attempt'>
    }
  | { step: 'review'; family: Family; model: string; summary: string; findings: Finding[] }
  | {
      step: 'reproduce' | 'crosscheck'
      finding: string
      by: string
      verdict: 'confirmed' | 'dismissed' | 'undecided'
      evidence: string
    }
  | { step: 'land'; landed: { commit: string; tree: string; target: string } }

export type Ending = {
  ended: AttemptEnded
  product: Product | null
  /** For `failed`: what the implementer must be told. */
  feedback: string | null
  /** For `over-budget`: the limit that was reached, until when, and what was kept. For `killed`: its daemon ends, and kept its work. */
  limit?: { scope: string; until: number | null; archive: Archive | null }
  /** For `failed` at landing: the target has moved so far that the work must start over from it. */
  rebase?: boolean
}

type Moment = { at: number; chance: number }

/** A daemon that dies this often under one step is not bad luck. */
const lostLimit = 5

/** A provider's limit is nobody's failure, and waits as the third of them would; its family is closed meanwhile where it must be. */
const limitedDelay = 3

/** The events that follow from an attempt's end, the end itself first. */
export function conclude(task: Task, ending: Ending, policy: FlowPolicy, moment: Moment): TaskEvent[] {
  const { ended, product } = ending
  const running = task.running.find(({ attempt }) => attempt === ended.attempt)
  if (!running) throw new Error(`attempt ${ended.attempt} is not running: its end was accepted twice`)
  const after = evolve(task, ended, moment.at)
  if (task.phase !== 'open' && task.phase !== 'parked') return [ended] // what goes on beside a parked attempt still counts
  if (ended.outcome === 'passed') {
    if (!product) throw new Error(`${running.step} passed without a product`)
    return [ended, ...passed(after, ended.attempt, product, policy, moment)]
  }
  return [ended, ...notPassed(after, running.step, ending, policy, moment)]
}

function notPassed(
  task: Task,
  step: Step,
  { ended, feedback, rebase, limit }: Ending,
  policy: FlowPolicy,
  moment: Moment,
): TaskEvent[] {
  if (isDecided(task)) return verdictEvents(task, policy) // what ended badly is no longer needed
  if (ended.outcome === 'failed' && feedback !== null) return giveBack(task, step, feedback, rebase ?? false, policy)
  if (ended.outcome === 'killed' && !limit) return []
  if (ended.outcome === 'lost')
    return task.lost.times >= lostLimit ? [escalated(`lost ${task.lost.times} times in a row`, ended.reason)] : []
  if ((ended.outcome === 'over-budget' || ended.outcome === 'killed') && limit)
    return [{ type: 'task.parked', attempt: ended.attempt, why: ended.reason, ...limit }]
  if (ended.outcome === 'rate-limited') {
    const until = moment.at + delayMs(policy.retry, limitedDelay, moment.chance)
    return [{ type: 'task.delayed', until, why: `${step} rate-limited: ${ended.reason}` }]
  }
  const failures = task.failures.filter((each) => each.step === step)
  const again = isRetryable(ended.outcome) || ended.outcome === 'failed'
  if (!again) return [escalated(`${step}: ${ended.outcome}`, ended.reason)]
  const signatures = failures.map(({ signature }) => signature)
  if (!mayRetry(policy.retry, signatures))
    return [escalated(`${step} ${ended.outcome}, ${plural(failures.length, 'attempt')}`, ended.reason)]
  const until = moment.at + delayMs(policy.retry, failures.length, moment.chance)
  return [{ type: 'task.delayed', until, why: `${step} ${ended.outcome}: ${ended.reason}` }]
}

function giveBack(task: Task, from: Step, feedback: string, rebase: boolean, policy: FlowPolicy): TaskEvent[] {
  if (task.returns >= policy.rounds)
    return [escalated(`sent back ${plural(task.returns, 'time')} already, again by ${from}`, feedback)]
  return [{ type: 'task.returned', from, feedback, rebase }]
}

const escalated = (why: string, evidence: string): TaskEvent => ({ type: 'task.escalated', why, evidence })

function passed(task: Task, attempt: string, product: Product, policy: FlowPolicy, moment: Moment): TaskEvent[] {
  switch (product.step) {
    case 'plan':
      return planned(task, attempt, product)
    case 'implement':
      return [{ type: 'candidate.taken', attempt, ...product.candidate }]
    case 'verify':
      return verified(task, attempt, product, policy, moment)
    case 'review':
      return reviewed(task, attempt, product, policy, moment)
    case 'reproduce':
    case 'crosscheck':
      return checked(task, product, policy, moment)
    case 'land':
      return [{ type: 'task.landed', ...product.landed }]
  }
}

function planned(task: Task, attempt: string, { plan, family }: Product & { step: 'plan' }): TaskEvent[] {
  const event: TaskEvent = { type: 'task.planned', attempt, plan, family }
  if (task.kind !== 'architect') return [event]
  const list = (items: string[]) => items.map((item) => `- ${item}`).join('\n')
  const parts = plan.subTasks.map(({ title, text }) => `### ${title}\n\n${text}`).join('\n\n')
  const report = `# ${task.title}\n\n${plan.approach}\n\n## Files\n\n${list(plan.files)}\n\n## Acceptance\n\n${list(plan.acceptance)}\n${parts && `\n## Parts\n\n${parts}\n`}`
  return [event, { type: 'task.reported', report }]
}

function verified(
  task: Task,
  attempt: string,
  product: Product & { step: 'verify' },
  policy: FlowPolicy,
  moment: Moment,
): TaskEvent[] {
  const subject: TaskEvent[] = product.subject ? [{ type: 'candidate.taken', attempt, ...product.subject }] : []
  const events: TaskEvent[] = [...subject, { type: 'gates.finished', attempt, report: product.report }]
  const now = events.reduce((each, event) => evolve(each, event, moment.at), task)
  const blocking = blockers(policy.gates, product.report)
  if (blocking.length > 0 && task.kind !== 'review')
    return [...events, ...giveBack(now, 'verify', gateFeedback(policy.gates, product.report), false, policy)]
  const { commit, base, family } = now.candidate!
  const round: TaskEvent = {
    type: 'round.opened',
    round: now.rounds + 1,
    commit,
    base,
    author: family,
    policy: reviewPolicy({
      author: family,
      usable: policy.usable,
      kind: task.kind,
      protectedPaths: product.protectedPaths,
      ...(product.asks ? { asks: product.asks } : {}),
      ...(policy.least ? { least: policy.least } : {}),
    }),
  }
  return [...events, round, ...verdictEvents(evolve(now, round, moment.at), policy)]
}

function reviewed(
  task: Task,
  attempt: string,
  product: Product & { step: 'review' },
  policy: FlowPolicy,
  moment: Moment,
): TaskEvent[] {
  const round = task.round
  if (!round) throw new Error('a review ended without a round')
  const { family, model, summary, findings } = product
  if (family === round.policy.advisory) {
    const advice: TaskEvent = { type: 'advice.given', round: round.number, attempt, family, summary, findings }
    return [advice, ...verdictAfter(task, advice, policy, moment)]
  }
  const refusal = checkVote(round, { family, commit: round.commit, round: round.number })
  if (refusal) return [escalated(`vote refused: ${refusal.refused}`, refusal.why)]
  const vote: TaskEvent = {
    type: 'vote.cast',
    round: round.number,
    attempt,
    commit: round.commit,
    family,
    model,
    summary,
    findings,
  }
  return [vote, ...verdictAfter(task, vote, policy, moment)]
}

function checked(
  task: Task,
  product: Product & { step: 'reproduce' | 'crosscheck' },
  policy: FlowPolicy,
  moment: Moment,
): TaskEvent[] {
  if (!task.round) throw new Error('a check ended without a round')
  const { finding, by, verdict, evidence } = product
  const refusal = product.step === 'crosscheck' ? checkCheck(task.round, { finding, by }) : null
  if (refusal)
    return isDecided(task) ? verdictEvents(task, policy) : [escalated(`check refused: ${refusal.refused}`, refusal.why)]
  const event: TaskEvent = { type: 'finding.checked', round: task.round.number, finding, by, verdict, evidence }
  return [event, ...verdictAfter(task, event, policy, moment)]
}

const verdictAfter = (task: Task, event: TaskEvent, policy: FlowPolicy, { at }: Moment): TaskEvent[] =>
  verdictEvents(evolve(task, event, at), policy)

/** The verdict once everything owed is in and nothing of the round is running any more, and what it leads to. */
function verdictEvents(task: Task, policy: FlowPolicy): TaskEvent[] {
  const { round } = task
  if (!round || round.verdict || task.running.length > 0 || owesAdvice(task)) return []
  const verdict = verdictOf(round)
  if (!verdict) return []
  const reached: TaskEvent = { type: 'verdict.reached', round: round.number, commit: round.commit, ...verdict }
  if (task.kind === 'review') return [reached, { type: 'task.reported', report: reviewReport(task) }]
  if (verdict.verdict === 'rejected')
    return [reached, ...giveBack(task, 'review', reviewFeedback(round) || verdict.why, false, policy)]
  if (round.policy.person || !policy.unattended) return [reached]
  return [reached, { type: 'task.approved', commit: round.commit, by: 'unattended' }]
}

/** Nothing more is owed to the open round, though something of it may still be under way. */
const isDecided = (task: Task): boolean =>
  task.round !== null && task.round.verdict === null && !owesAdvice(task) && verdictOf(task.round) !== null

function reviewReport(task: Task): string {
  const round = task.round!
  const votes = round.votes.map(({ family, model, summary }) => `## ${family} (${model})\n\n${summary}`).join('\n\n')
  const findings = round.findings
    .map(
      ({ severity, file, line, claim, by, state }) =>
        `- **${severity}**, ${state}: ${file}${line === null ? '' : `:${line}`} ${claim} (${by})`,
    )
    .join('\n')
  const gates = (task.gates && gateLine(task.gates)) || 'none configured'
  return `# Review of ${round.commit}\n\nGates: ${gates}\n\n${votes}\n\n## Findings\n\n${findings || 'None.'}\n`
}

/** May this attempt move the target now? Asked once more at the last moment: a person may have cancelled the task since it was let in. */
export const mayLand = ({ phase, running, approval, candidate }: Task, attempt: string): boolean =>
  phase === 'open' &&
  running.some((each) => each.attempt === attempt && each.step === 'land') &&
  approval !== null &&
  approval.commit === candidate?.commit

/** A person has an escalated task tried again: at the step it stopped at. What a round rejected is done again first, knowing why. */
export function retry({ step, round, evidence }: Task): TaskEvent[] {
  const again: TaskEvent = { type: 'task.retried', step }
  if (step !== 'review' || round?.verdict !== 'rejected') return [again]
  return [again, { type: 'task.returned', from: 'review', feedback: evidence ?? '', rebase: false }]
}
