/**
 * The queue: tasks that could start if there were a slot for them, kept in the order in which admission would let them in.
 *
 *     ready, not held, all it needs is done ──▶ in the queue ──started, held, over──▶ out
 *
 * A projection like any other: it decides nothing and can be made anew from the log. What it saves is reading every task at every pass.
 */
import type { Lane } from '../core/lane.ts'
import { waitsSince, type Pause } from '../core/pause.ts'
import type { Reader } from './database.ts'

/** The end of a line of tasks with a time before which they may not start: these stand apart, or however many of them would be read past. */
export const later = ' later'

/** The repository and the lane of a line: `repo_7k2m implementer | normal first`. */
const placeOf = (line: string): { repo: string; lane: Lane } => ({
  repo: line.slice(0, line.indexOf(' ')),
  lane: line.slice(line.lastIndexOf('|') + 2).split(' ')[0] as Lane,
})

type Look = { at: number; laneStepMs: number; most: number; pauses: readonly Pause[] }

/**
 * Of every line (a demand, a lane, overridden or not) the `most` that come first, by the effective rank at `at`. With `most` at least the number of
 * all slots, admission chooses from these as it would from all: an earlier task of the same demand always goes first, and each takes a slot.
 */
export async function headOfQueue(reader: Reader, look: Look): Promise<string[]> {
  const ids: string[] = []
  for (let from: string | null = ''; from !== null;) {
    const head: { line: string; longest: number; next: string | null } | undefined = await reader.get(
      `select line, ready_at as longest, (select min(line) from queue as other where other.line > queue.line) as next
       from queue where line >= :from order by line, ready_at limit 1`,
      { from },
    )
    if (!head) break
    ids.push(...(await headOfLine(reader, head.line, head.longest, look)))
    from = head.next
  }
  return ids
}

/** Those that have waited longest are a lane step or more ahead of the rest; among equals the one added first goes first. */
async function headOfLine(reader: Reader, line: string, longest: number, look: Look): Promise<string[]> {
  const { at, laneStepMs, most, pauses } = look
  const counted = waitsSince(pauses, placeOf(line))
  if (line.endsWith(later)) return dueOfLine(reader, line, counted, look)
  const ids: string[] = []
  for (let since: number | null = longest; since !== null;) {
    const steps = Math.floor(Math.max(0, at - Math.max(since, counted)) / laneStepMs)
    const until = steps === 0 ? Number.MAX_SAFE_INTEGER : at - steps * laneStepMs
    // + 0: SQLite plans a statement anew at each call when its limit is a parameter and nothing else
    const rows: { task: string }[] = await reader.all(
      `select task from queue
       where line = :line and added_at <= :until and ready_at between :since and :until
       order by added_at, task limit :rest + 0`,
      { line, since, until, rest: most - ids.length },
    )
    ids.push(...rows.map(({ task }) => task))
    if (ids.length === most) break
    const next: { since: number | null } | undefined = await reader.get(
      'select min(ready_at) as since from queue where line = :line and ready_at > :until',
      { line, until },
    )
    since = next!.since
  }
  return ids
}

/** When the next time comes before which one in the queue may not start; null: none does. */
export async function nextDue(reader: Reader, at: number): Promise<number | null> {
  const next = await reader.get<{ at: number | null }>(
    `with recursive later (line) as (
       select min(line) from queue where not_before is not null
       union all
       select (select min(line) from queue where not_before is not null and queue.line > later.line) from later where line is not null
     )
     select min((select min(not_before) from queue where queue.line = later.line and not_before > :at)) as at from later`,
    { at },
  )
  return next!.at
}

/** Those whose time has come, in the same order; reads no others. */
async function dueOfLine(reader: Reader, line: string, counted: number, look: Look): Promise<string[]> {
  const { at, laneStepMs, most } = look
  const rows = await reader.all<{ task: string }>(
    `select task from queue indexed by queue_by_time where line = :line and not_before <= :at
     order by max(0, :at - max(ready_at, :counted)) / :step desc, added_at, task limit :most + 0`,
    { line, at, counted, step: laneStepMs, most },
  )
  return rows.map(({ task }) => task)
}
