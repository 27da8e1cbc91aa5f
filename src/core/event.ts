/**
 * The union of everything that can have happened. An event is a decision or a fact an auditor would ask for; beats, meter ticks and transcript
 * offsets are not events. Events are never changed: a new meaning is a new type.
 *
 * Streams: `task/<id>` carries a task and all of its attempts, `repo/<id>` a repository, `daemon/main` the machine,
 * `budget/main` what all spend together, `family/<name>` what its provider lets through.
 */
import type { Family } from './family.ts'
import type { GateReport } from './gate.ts'
import type { Outcome } from './outcome.ts'
import type { Pausable } from './pause.ts'
import type { Finding, ReviewPolicy } from './review.ts'
import type { Lane } from './lane.ts'
import type { Candidate, Kind, Plan, Role, Size, Step } from './task.ts'
import type { LogAnchor } from './trailer.ts'

export type TokenCount = { input: number; cachedInput: number; cacheWrite: number; output: number }

export type TaskAdded = {
  type: 'task.added'
  task: string
  repo: string
  title: string
  text: string
  kind: Kind
  lane: Lane
  size: Size
  tags: string[]
  /** Tasks that must be done first. */
  after: string[]
  acceptance: string[]
  budgetNanoUsd: number | null
  /** The task this one was split from, and how deep that goes. */
  parent: string | null
  depth: number
  /** The task whose budget it draws on: itself, or the root it was split from. */
  root: string
  /** What a `review` task judges: a ref or commit of the repository. */
  ref: string | null
  /** The part of the repository it is about; absent where nobody said. */
  path?: string
}

export type AttemptAdmitted = {
  type: 'attempt.admitted'
  attempt: string
  /** The fencing token: grows by one with each attempt of the task. */
  token: number
  step: Step
  role: Role
  family: Family | null
  agent: string | null
  model: string | null
  /** The finding under check, for reproduce and cross-check. */
  finding: string | null
  /** Why this family: the routing rule that chose it. */
  because: string | null
}

export type AttemptEnded = {
  type: 'attempt.ended'
  attempt: string
  outcome: Outcome
  reason: string
  /** Hash of what went wrong, so that the same failure three times is seen as one. */
  signature: string | null
  tokens: TokenCount
  costNanoUsd: number
  transcript: { bytes: number; lines: number; sha256: string } | null
  promptSha256: string | null
  killed: { method: string; survivors: number; ms: number } | null
}

/** What was kept of an attempt that was parked: its work as a bundle, the client's session. */
export type Archive = {
  attempt: string
  family: Family
  /** What the bundle begins at; null: nothing had been changed. */
  base: string | null
  /** The client's own name of its session; null where there is none to go on with. */
  session: string | null
  files: number
  bytes: number
  /** Of its list of files, each with its own. */
  sha256: string
  /** Its daemon was told to end; else it had reached a limit. */
  drained?: true
}

export type TaskEvent =
  | TaskAdded
  | { type: 'task.planned'; attempt: string; plan: Plan; family: Family }
  | { type: 'task.split'; children: string[] }
  | { type: 'task.joined'; children: string[] }
  | { type: 'task.prioritized'; lane: Lane | null; override: boolean | null }
  /** `now`: what is under way for it is ended. */
  | { type: 'task.held'; why: string; now?: true }
  | { type: 'task.released' }
  | { type: 'task.delayed'; until: number; why: string }
  | { type: 'task.escalated'; why: string; evidence: string }
  | { type: 'task.retried'; step: Step }
  | {
      type: 'task.parked'
      attempt: string
      /** The limit that was reached: an account, `minute`, `burst` or `waste`. */
      scope: string
      why: string
      /** Goes on by itself then at the earliest; null: when a person raises the limit. */
      until: number | null
      archive: Archive | null
    }
  | { type: 'task.resumed'; why: string }
  | { type: 'task.budgeted'; budgetNanoUsd: number; by: string }
  | { type: 'task.cancelled'; why: string }
  | { type: 'task.approved'; commit: string; by: string }
  | { type: 'task.rejected'; commit: string; by: string; why: string }
  | { type: 'task.returned'; from: Step; feedback: string; rebase: boolean }
  | { type: 'task.reported'; report: string }
  | { type: 'task.landed'; commit: string; tree: string; target: string }
  | AttemptAdmitted
  | { type: 'attempt.started'; attempt: string; rung: string; pid: number | null }
  | AttemptEnded
  | ({ type: 'candidate.taken' } & Candidate)
  | { type: 'usage.drifted'; attempt: string; drift: 'more' | 'less'; wire: TokenCount; said: TokenCount }
  /** Of what a provider would do by itself: what was taken out of requests, and what the operator's settings let through. */
  | { type: 'tools.stripped' | 'tools.passed'; attempt: string; tools: string[] }
  | { type: 'tools.used'; attempt: string; uses: Record<string, number>; costNanoUsd: number }
  | { type: 'gates.finished'; attempt: string; report: GateReport }
  | { type: 'round.opened'; round: number; commit: string; base: string; author: Family; policy: ReviewPolicy }
  | {
      type: 'vote.cast'
      round: number
      attempt: string
      commit: string
      family: Family
      model: string
      summary: string
      findings: Finding[]
    }
  | { type: 'advice.given'; round: number; attempt: string; family: Family; summary: string; findings: Finding[] }
  | {
      type: 'finding.checked'
      round: number
      finding: string
      by: string
      verdict: 'confirmed' | 'dismissed' | 'undecided'
      evidence: string
    }
  | { type: 'verdict.reached'; round: number; commit: string; verdict: 'approved' | 'rejected'; why: string }
  | { type: 'landing.intended'; attempt: string; commit: string; tree: string; parent: string | null; target: string }
  | { type: 'landing.refused'; attempt: string; why: string }

export type RepoEvent =
  | { type: 'repo.registered'; repo: string; path: string; name: string; base: string }
  | { type: 'repo.trusted'; repo: string; commandsSha256: string; by: string }

export type DaemonEvent =
  | { type: 'daemon.started'; epoch: number; pid: number; rung: string; version: string }
  | { type: 'daemon.stopped'; epoch: number; why: string }
  | { type: 'daemon.resumed'; awayMs: number }
  | {
      type: 'daemon.reaped'
      /** What was removed or ended, the first of them by name; nothing here that is not gone. */
      found: { kind: string; name: string; why: string }[]
      /** How many in all, and how many of these nobody accounted for: the rest had come of age. */
      count: number
      unaccounted: number
      bytes: number
    }
  | { type: 'loop.failed'; loop: string; error: string }
  | { type: 'store.failed'; code: string; why: string }
  | { type: 'store.recovered'; code: string; awayMs: number }
  | { type: 'work.paused'; what: Pausable; name: string; why: string; now: boolean }
  | { type: 'work.resumed'; what: Pausable; name: string }

/**
 * A backup took the database's place. What the log had been beyond it is left behind, and these anchors of that are known: `anchors` names those in
 * the first `bytes` of the file of anchors that this log is not at one with, `behind` are those of landing commits.
 */
export type StoreRestored = {
  type: 'store.restored'
  file: string
  /** Where the database that was replaced lies; null where there was none. */
  kept: string | null
  /** How far the restored log goes, and how far the one left behind is known to have gone. */
  from: LogAnchor | null
  left: LogAnchor | null
  anchors: { bytes: number; count: number; sha256: string }
  behind: LogAnchor[]
  /** Landings since then. `log`: what happened on the way was taken over from the log left behind; `git`: only their trailers tell. */
  landings: { task: string; repo: string; commit: string; told: 'log' | 'git' }[]
  /** Work in quarantine that was handed in since then. `log`: how was taken over; `git`: nobody knows, and its task is held. */
  handedIn?: { task: string; repo: string; token: number; told: 'log' | 'git' }[]
  /** Repositories that could not be asked; their open tasks are held. */
  unasked: string[]
  /** What was spent since: `counted`, or nobody can say and the day `day-closed`. */
  money: 'counted' | 'day-closed'
  epoch: number
}

/**
 * A person went on with a new key for the log's seals, or with another one than the last seal was made with: the first event that this key seals. What
 * stands before can be proven by nobody without the keys named here; that it is still what was found is.
 */
export type LogAdopted = {
  type: 'log.adopted'
  /** The key that seals from here on, and those that sealed what stands before: the beginnings of their SHA-256. */
  key: string
  before: string[]
  /** How far the log went, and the hash of all its events as they were found. */
  last: number
  sha256: string
}

export type MoneyEvent =
  | { type: 'breaker.tripped'; why: string; committedNanoUsd: number; heldNanoUsd: number }
  | { type: 'breaker.closed'; trippedAt: number }
  | { type: 'spending.warned'; minuteNanoUsd: number; warnNanoUsd: number }
  | { type: 'budget.raised'; scope: string; byNanoUsd: number; by: string }
  /** `limit`: as in the settings: `day`, `task`, `minute`, `burst`, `warn`, `families.openai`; null: there was, or is, none. */
  | { type: 'limits.changed'; changed: { limit: string; beforeNanoUsd: number | null; nanoUsd: number | null }[] }

/** A model of a family may not be asked, and may be again. `until`: epoch milliseconds, null until a person does something. */
export type FamilyEvent =
  | { type: 'family.closed'; family: Family; model: string; why: string; until: number | null }
  | { type: 'family.opened'; family: Family; model: string }

export type Event = TaskEvent | RepoEvent | DaemonEvent | StoreRestored | LogAdopted | MoneyEvent | FamilyEvent
export type EventType = Event['type']

/** An event with its place in the log. */
export type LoggedEvent<E extends Event = Event> = {
  seq: number
  at: number
  stream: string
  version: number
  actor: string
  event: E
}
