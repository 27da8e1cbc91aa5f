/** Why a ready task does not start, from what the daemon wrote down: read, never asked for, and nothing where no daemon is up. */
import { whyWaiting } from '../core/admission.ts'
import { dayOf } from '../core/budget.ts'
import { stateOf, type Task } from '../core/task.ts'
import type { Reader } from '../store/database.ts'
import { readCircumstances } from '../store/lease.ts'
import { accountOf } from '../store/ledger.ts'
import { headOfQueue } from '../store/queue.ts'
import { loadTask } from '../store/task.ts'
import { findDaemon } from './presence.ts'

/** Tells it of any task; null where nothing but a slot is missing. */
export async function waitingReader(reader: Reader, now: number): Promise<(task: Task) => string | null> {
  const circumstances = await readCircumstances(reader)
  if (circumstances === null || (await findDaemon(reader)) === null) return () => null
  const day = await accountOf(reader, `day/${dayOf(now)}`)
  const seen = { ...circumstances, spentNanoUsd: day ? day.spent + day.held : 0 }
  return (task) => (stateOf(task) === 'ready' ? whyWaiting(task, seen) : null)
}

/** The first of each kind of task that could start if something were not in its way, with what that is. */
export async function readStuck(reader: Reader, now: number): Promise<{ task: Task; why: string }[]> {
  const why = await waitingReader(reader, now)
  const heads = await headOfQueue(reader, { at: now, laneStepMs: Number.MAX_SAFE_INTEGER, most: 1 })
  const tasks = await Promise.all(heads.map((id) => loadTask(reader, id)))
  return tasks.flatMap((task) => {
    const found = task && why(task)
    return found ? [{ task, why: found }] : []
  })
}
