/**
 * A task's way from a wish to a landed commit.
 *
 *     plan ─▶ implement ─▶ verify ─▶ review ─▶ (awaiting-approval) ─▶ land ─▶ done
 *                 ▲            └────────┴──────────────────────────────┘ returned, a bounded number of times, then escalated
 *
 * Which event does what is told in evolve.ts, what may happen next is decided in flow.ts.
 */
import type { Archive, AttemptAdmitted, TaskAdded, TokenCount } from './event.ts'
import type { Family } from './family.ts'
import type { GateReport } from './gate.ts'
import type { Round } from './review.ts'

export const kinds = ['feature', 'fix', 'test', 'refactor', 'docs', 'security', 'review', 'architect'] as const
export type Kind = (typeof kinds)[number]
export const sizes = ['small', 'medium', 'large'] as const
export type Size = (typeof sizes)[number]
export const steps = ['plan', 'implement', 'verify', 'review', 'reproduce', 'crosscheck', 'land'] as const
export type Step = (typeof steps)[number]
export const roles = ['architect', 'implementer', 'reviewer', 'gate'] as const
export type Role = (typeof roles)[number]

export type SubTask = { title: string; text: string; kind: Kind; size: Size; acceptance: string[]; after: number[] }
export type Plan = { approach: string; files: string[]; acceptance: string[]; subTasks: SubTask[] }

export const phases = ['open', 'awaiting-approval', 'escalated', 'parked', 'split', 'done', 'cancelled'] as const
export type Phase = (typeof phases)[number]
export type TaskState = 'ready' | 'delayed' | 'running' | Exclude<Phase, 'open'>

export type Candidate = {
  attempt: string
  commit: string
  tree: string
  base: string
  family: Family
  model: string
  files: string[]
  added: number
  removed: number
  message: string
}

export type Running = Pick<
  AttemptAdmitted,
  'attempt' | 'token' | 'step' | 'role' | 'family' | 'agent' | 'model' | 'finding'
> & {
  admittedAt: number
}

export type Task = Omit<TaskAdded, 'type' | 'task'> & {
  id: string
  addedAt: number
  version: number
  phase: Phase
  step: Step
  /** When it last became ready, for ageing. */
  readyAt: number
  notBefore: number | null
  held: string | null
  /** While it is held: what is under way for it is to end. */
  heldNow?: boolean
  override: boolean
  /** Why it waits, was escalated or cancelled; for people. */
  why: string | null
  evidence: string | null
  /** The highest fencing token given out. */
  token: number
  running: Running[]
  plan: Plan | null
  children: string[]
  candidate: Candidate | null
  /** Gate results of the present candidate. */
  gates: GateReport | null
  round: Round | null
  /** Rounds opened so far: a round's number is never used again, or the votes of two would be mixed up. */
  rounds: number
  /** How often the work was sent back since a person last had it tried again. */
  returns: number
  feedback: { from: Step; text: string } | null
  /** Start over from the target's tip instead of from the last candidate. */
  rebase: boolean
  /** Failures of the present step since it last succeeded. */
  failures: { step: Step; family: Family | null; signature: string | null }[]
  /** Losses in a row. What was under way together is lost together and counts once: `upTo` is the highest token of those counted. */
  lost: { times: number; upTo: number }
  /** The limit it is stopped at. */
  parked: { scope: string; until: number | null } | null
  /** The work of a parked attempt that the next implementer of its family goes on with. */
  archive: Archive | null
  approval: { commit: string; by: string } | null
  intent: { attempt: string; commit: string; tree: string; parent: string | null; target: string } | null
  landed: { commit: string; tree: string; target: string; at: number } | null
  report: string | null
  tokens: TokenCount
  costNanoUsd: number
}

export const stateOf = (task: Task): TaskState =>
  task.phase !== 'open'
    ? task.phase
    : task.running.length > 0
      ? 'running'
      : task.notBefore === null
        ? 'ready'
        : 'delayed'

export const isOver = (task: Task): boolean => task.phase === 'done' || task.phase === 'cancelled'

/**
 * What an implementer of this family goes on from: the last candidate, or null: the target's tip. Nobody goes on with the work of another family,
 * for then the commit would have two authors and be reviewed by one of them.
 */
export const goesOnFrom = ({ candidate, rebase }: Task, family: Family | null): Candidate | null =>
  candidate && !rebase && candidate.family === family ? candidate : null

/** What is the same of every task when it is added. Rows leave it out for as long as it stays so: to write less, at every event. */
export const atFirst = {
  notBefore: null,
  held: null,
  override: false,
  why: null,
  evidence: null,
  token: 0,
  running: [],
  plan: null,
  children: [],
  candidate: null,
  gates: null,
  round: null,
  rounds: 0,
  returns: 0,
  feedback: null,
  rebase: false,
  failures: [],
  lost: { times: 0, upTo: 0 },
  parked: null,
  archive: null,
  approval: null,
  intent: null,
  landed: null,
  report: null,
  tokens: { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 },
  costNanoUsd: 0,
} satisfies Partial<Task>
