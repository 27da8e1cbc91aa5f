/** Why a ready task does not start: what a person paused, and what the daemon wrote down. Read, never asked for; of a daemon that is down nothing is said. */
import { whyPaused, whyWaiting, type Circumstances } from '../core/waiting.ts'
import { dayOf } from '../core/day.ts'
import { stateOf, type Task } from '../core/task.ts'
import type { Reader } from '../store/database.ts'
import { readCircumstances } from '../store/lease.ts'
import { accountOf } from '../store/account.ts'
import { firstOfEachLine } from '../store/moving.ts'
import { readPauses } from '../store/pause.ts'
import { placesUnderWay } from '../store/task.ts'
import { clockTime } from './format.ts'
import { findDaemon } from './presence.ts'

/** Tells it of any task; null where nothing but a slot is missing. `onlyTrouble`: a cap that is full is none, it passes by itself. */
export async function waitingReader(
  reader: Reader,
  now: number,
  onlyTrouble = false,
): Promise<(task: Task) => string | null> {
  const pauses = await readPauses(reader)
  const circumstances = await readCircumstances(reader)
  if (circumstances === null || (await findDaemon(reader)) === null) return (task) => whyPaused(task, pauses)
  const day = await accountOf(reader, `day/${dayOf(now)}`)
  const underWay = onlyTrouble ? [] : await placesUnderWay(reader)
  const spentNanoUsd = day ? day.spent + day.held : 0
  const seen = { ...circumstances, pauses, underWay, spentNanoUsd, clock: clockTime }
  return (task) => (stateOf(task) === 'ready' ? whyWaiting(task, seen) : whyPaused(task, pauses))
}

/** The first of each kind of task that could start if something were not in its way, with what that is. */
export async function readStuck(reader: Reader, now: number): Promise<{ task: Task; why: string }[]> {
  const why = await waitingReader(reader, now, true)
  const pauses = await readPauses(reader)
  return (await firstOfEachLine(reader, now)).flatMap((task) => {
    const found = whyPaused(task, pauses) === null ? why(task) : null // what was paused is said as such, not as trouble
    return found ? [{ task, why: found }] : []
  })
}

/** The families that cool down, as the daemon that is up wrote it down. */
export async function readClosures(reader: Reader): Promise<NonNullable<Circumstances['closures']>> {
  const circumstances = await readCircumstances(reader)
  return circumstances === null || (await findDaemon(reader)) === null ? [] : (circumstances.closures ?? [])
}
