/** How long a family that is needed is waited for before a person is asked. Pure, over the snapshot that admission decides on. */
import { mayStart, type Snapshot } from './admission.ts'
import { wantedSteps } from './wanted-step.ts'
import { pauseOfFamily } from './pause.ts'
import { forcedFamily } from './routing.ts'
import type { Task } from './task.ts'

/** `since`: when this daemon began to look. */
export type Patience = { mostMs: number; since: number }

/**
 * The family a ready task has waited for longer than `mostMs`, and cannot do without; null where it has not, or where what it waits for is a person,
 * a slot or money.
 */
export function missedFamily(task: Task, snapshot: Snapshot, patience: Patience): string | null {
  if (!mayStart(task, snapshot) || task.running.length > 0 || isCutOff(snapshot)) return null
  const wanted = wantedSteps(task)
  const names = wanted.map(({ role, family }) => (role === 'gate' ? null : (family ?? forcedFamily(task) ?? 'any')))
  if (names.length === 0 || names.some((name) => name === null || !isMissed(name, task, snapshot, patience)))
    return null
  return names[0] === 'any' ? 'any family' : names[0]!
}

/** None of several families can be reached: it is the network that is gone, and comes back without anybody's decision. */
const isCutOff = ({ families }: Snapshot): boolean =>
  families.length > 1 && families.every(({ unreachable }) => unreachable === true)

function isMissed(name: string, task: Task, { at, families, pauses }: Snapshot, { mostMs, since }: Patience): boolean {
  const possible = name === 'any' ? families : families.filter(({ family }) => family === name)
  return (
    pauseOfFamily(pauses, name) === null &&
    possible.every(({ family, closedUntil, closedSince }) => {
      if (pauseOfFamily(pauses, family) !== null || closedUntil === null || closedUntil <= at) return false
      return at - Math.max(task.readyAt, closedSince ?? since) >= mostMs
    }) &&
    (possible.length > 0 || at - Math.max(task.readyAt, since) >= mostMs)
  )
}

/** Where no family is missed and nothing else changes than the clock, one is at one of these moments at the earliest. */
export const mayBeMissedAt = ({ tasks, families }: Snapshot, { mostMs, since }: Patience): number[] =>
  [since, ...tasks.map(({ readyAt }) => readyAt), ...families.map(({ closedSince }) => closedSince ?? since)].map(
    (from) => from + mostMs,
  )
