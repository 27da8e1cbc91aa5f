/** What goes on by itself, and what of each line comes first. Apart from pause.ts, which verbs read that need nothing of admission. */
import { whyPaused } from '../core/waiting.ts'
import type { Task } from '../core/task.ts'
import type { Reader } from './database.ts'
import { readPauses } from './pause.ts'
import { headOfQueue } from './queue.ts'
import { anythingUnderWay, loadTask } from './task.ts'

/** Does anything move without a person? What is paused does not. */
export async function anythingMoves(reader: Reader): Promise<boolean> {
  if (await anythingUnderWay(reader)) return true
  const pauses = await readPauses(reader)
  return (await firstOfEachLine(reader, Number.MAX_SAFE_INTEGER)).some((task) => whyPaused(task, pauses) === null)
}

/** Of every line of the queue the task that comes first. */
export async function firstOfEachLine(reader: Reader, at: number): Promise<Task[]> {
  const heads = await headOfQueue(reader, { at, laneStepMs: Number.MAX_SAFE_INTEGER, most: 1, pauses: [] })
  return (await Promise.all(heads.map((id) => loadTask(reader, id)))).filter((task) => task !== null)
}
