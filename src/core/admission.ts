/**
 * Admission: which attempts may start now. A pure function over a snapshot, just in time: only as many as there are free slots, so that an
 * override, a pause or a closed budget acts at once and the engine's queue stays almost empty.
 */
import { mayStartOn, mayStartOnPart, type DayParts, type DayStep } from './day.ts'
import { countAgainst, type Caps, type Count } from './cap.ts'
import type { Family } from './family.ts'
import { wantedSteps, type WantedStep } from './wanted-step.ts'
import { effectiveRank } from './lane.ts'
import { pauseOfFamily, pauseOver, waitsSince, type Pause } from './pause.ts'
import { route } from './routing.ts'
import { isOver, roles, type Role, type Task } from './task.ts'

export type FamilyState = {
  family: Family
  agent: string
  models: { architect: string; implementer: string; reviewer: string }
  /** Epoch ms until which nothing may start (cool-down), or null. */
  closedUntil: number | null
  /** Since when that is so, and why; null where it is open. */
  closedSince: number | null
  closedWhy: string | null
  /** It could not be reached when it was asked last. */
  unreachable?: true
}

export type Snapshot = {
  at: number
  /** Every task with something under way, those that come first of each demand (`demandOf`), and what all of these depend on. */
  tasks: readonly Task[]
  /** Repositories with a landing under way whose task was cancelled: its slot is free at once, but the repository is not. */
  dyingLandings: readonly string[]
  families: readonly FamilyState[]
  slots: Readonly<Record<Role, number>>
  /** How long each role's slots have been idle, ms; for lending. */
  idleMs: Readonly<Record<Role, number>>
  lendAfterMs: number
  laneStepMs: number
  /** Why nothing may start: draining, no disk; null when all is well. */
  closed: string | null
  pauses: readonly Pause[]
  caps: Caps
  /** How far today's money is used up. */
  dayStep: DayStep
  parts: DayParts
  /** Why nothing that asks a model may start: the breaker has tripped; null when it has not. */
  breaker: string | null
}

export type Admission = WantedStep & {
  task: string
  token: number
  agent: string | null
  model: string | null
  because: string | null
}

/** The attempts to start now, in order, never more than the free slots. */
export function admit(snapshot: Snapshot): Admission[] {
  if (snapshot.closed !== null) return []
  const free = freeSlots(snapshot)
  const count = countAgainst(
    capsOf(snapshot),
    snapshot.tasks.flatMap(({ running, repo }) => running.map((each) => ({ ...each, repo }))),
  )
  let asking = leftOnNarrowDay(snapshot)
  const landing = new Set(snapshot.dyingLandings)
  for (const { running, repo } of snapshot.tasks) if (running.some(({ step }) => step === 'land')) landing.add(repo)
  const admitted: Admission[] = []
  for (const task of inOrder(snapshot)) {
    const own: Admission[] = []
    for (const wanted of wantedSteps(task)) {
      if (wanted.step === 'land' && landing.has(task.repo)) continue
      const chosen = choose(snapshot, task, wanted, count)
      if (!chosen) continue
      const takesSlot = !takesNoSlot(task, own, wanted)
      if (takesSlot && wanted.role !== 'gate' && asking < 1) continue
      if (takesSlot && !take(free, wanted.role, snapshot)) continue
      if (takesSlot && wanted.role !== 'gate') asking -= 1
      if (wanted.step === 'land') landing.add(task.repo)
      count.add({ family: chosen.family, role: wanted.role, repo: task.repo })
      own.push({ ...wanted, ...chosen, task: task.id, token: task.token + own.length + 1 })
    }
    admitted.push(...own)
  }
  return admitted
}

/** Of a family that could not be reached one attempt finds out whether it can be again: more of them would cost their starts for nothing. */
function capsOf({ caps, families }: Snapshot): Snapshot['caps'] {
  const lost = families.filter(({ unreachable }) => unreachable).map(({ family }) => [family, 1])
  return lost.length === 0 ? caps : { ...caps, families: { ...caps.families, ...Object.fromEntries(lost) } }
}

/** A task that is open, not held or paused, whose time has come and whose needs are done. */
export const mayStart = (task: Task, snapshot: Snapshot): boolean =>
  !isOver(task) &&
  task.held === null &&
  pauseOver(snapshot.pauses, task) === null &&
  (task.notBefore === null || task.notBefore <= snapshot.at) &&
  unmet(task, snapshot).length === 0

const unmet = (task: Task, { tasks }: Snapshot): string[] =>
  task.after.filter((id) => tasks.find((each) => each.id === id)?.phase !== 'done')

function inOrder(snapshot: Snapshot): Task[] {
  const rank = (task: Task) =>
    effectiveRank(
      task.lane,
      snapshot.at - Math.max(task.readyAt, waitsSince(snapshot.pauses, task)),
      snapshot.laneStepMs,
    )
  return snapshot.tasks
    .filter((task) => mayStart(task, snapshot))
    .toSorted(
      (a, b) =>
        Number(b.override) - Number(a.override) || rank(a) - rank(b) || a.addedAt - b.addedAt || (a.id < b.id ? -1 : 1),
    )
}

function choose(
  snapshot: Snapshot,
  task: Task,
  wanted: WantedStep,
  count: Count,
): { family: Family | null; agent: string | null; model: string | null; because: string | null } | null {
  const isFull = (family: Family | null) => count.full({ family, role: wanted.role, repo: task.repo }) !== null
  if (isFull(null)) return null
  if (wanted.role === 'gate') return { family: null, agent: null, model: null, because: null }
  if (snapshot.breaker !== null || !mayStartOn(snapshot.dayStep, task.lane)) return null
  if (!mayStartOnPart(snapshot.parts.repos, task.repo, task.lane)) return null
  const open = snapshot.families.filter(
    ({ family, closedUntil }) =>
      (closedUntil === null || closedUntil <= snapshot.at) &&
      pauseOfFamily(snapshot.pauses, family) === null &&
      mayStartOnPart(snapshot.parts.families, family, task.lane) &&
      !isFull(family),
  )
  const routed =
    wanted.family === null
      ? route(
          task,
          wanted.role,
          open.map(({ family }) => family),
        )
      : null
  const family = open.find((each) => each.family === (routed ? routed.family : wanted.family))
  if (!family) return null
  return {
    family: family.family,
    agent: family.agent,
    model: family.models[wanted.role],
    because: routed ? routed.why : 'asked by the review policy',
  }
}

/** A review round holds one slot however many reviewers it starts. */
const takesNoSlot = (task: Task, own: readonly Admission[], wanted: WantedStep): boolean =>
  wanted.role === 'reviewer' &&
  (own.some(({ role }) => role === 'reviewer') || task.running.some(({ role }) => role === 'reviewer'))

/** Roles that ask a model: they lend each other slots. */
const agentRoles = roles.filter((role) => role !== 'gate')

/** On a day that is nearly used up one slot of all that ask a model stays. */
function leftOnNarrowDay(snapshot: Snapshot): number {
  if (snapshot.dayStep === 'open') return Infinity
  const slotsHeld = snapshot.tasks.flatMap(({ running }) => {
    const asking = running.filter(({ role }) => role !== 'gate')
    const reviewers = asking.filter(({ role }) => role === 'reviewer')
    return reviewers.length > 1 ? asking.slice(reviewers.length - 1) : asking
  })
  return Math.max(0, 1 - slotsHeld.length)
}

/** Slots of each role that nothing holds. What a role has under way beyond its own slots it has borrowed from the others. */
function freeSlots(snapshot: Snapshot): Record<Role, number> {
  const free = { ...snapshot.slots }
  for (const task of snapshot.tasks)
    for (const role of roles) {
      const held = task.running.filter((each) => each.role === role).length
      free[role] -= role === 'reviewer' ? Math.min(1, held) : held
    }
  for (const borrower of agentRoles)
    for (const lender of agentRoles) {
      const lent = Math.max(0, Math.min(-free[borrower], free[lender]))
      free[lender] -= lent
      free[borrower] += lent
    }
  return free
}

/** Takes a slot of the role, or one that another agent role has left idle long enough to lend. */
function take(free: Record<Role, number>, role: Role, snapshot: Snapshot): boolean {
  const lenders =
    role === 'gate' ? [] : agentRoles.filter((each) => each !== role && snapshot.idleMs[each] >= snapshot.lendAfterMs)
  const from = [role, ...lenders].find((each) => free[each] > 0)
  if (from === undefined) return false
  free[from] -= 1
  return true
}
