/** The log page by page, task by task: what makes the tables anew reads it so, and nothing else does. */
import type { Event, LoggedEvent } from '../core/event.ts'
import type { Reader } from './database.ts'
import { decode, type EventRow } from './log.ts'

export type TaskStory = { task: string; events: Told[] }
/** An event, and when it was. */
export type Told = Pick<LoggedEvent, 'at' | 'event'>

/**
 * What happened to tasks, task by task: whole stories of those that come after one, about `most` events of them. `last`: the task that the page ends
 * with, null for the last page. Each story comes as one text, which takes a third of the time as many rows do.
 */
export async function pageOfTasks(
  reader: Reader,
  after: string,
  most: number,
): Promise<{ stories: TaskStory[]; last: string | null }> {
  const next = await reader.get<{ stream: string }>(
    `select stream from event where stream > :after and stream < 'task0' order by stream, version limit 1 offset :most`,
    { after: `task/${after}`, most },
  )
  const rows = await reader.all<{ stream: string; told: string }>(
    `select stream,
       '[' || group_concat('[' || version || ',' || at || ',' || json_quote(type) || ',' || body || ']') || ']' as told
     from event where stream > :after and stream < 'task0' and stream <= :last group by stream order by stream`,
    { after: `task/${after}`, last: next?.stream ?? 'task0' },
  )
  const stories = rows.map(({ stream, told }) => ({ task: stream.slice('task/'.length), events: storyFrom(told) }))
  return { stories, last: next ? stories.at(-1)!.task : null }
}

function storyFrom(told: string): Told[] {
  const all = JSON.parse(told) as [version: number, at: number, type: string, body: Record<string, unknown>][]
  // they come in order, but nothing says that SQLite must hand them on so
  if (all.some(([version], n) => n > 0 && version < all[n - 1]![0])) all.sort(([a], [b]) => a - b)
  return all.map(([, at, type, body]) => {
    body['type'] = type
    return { at, event: body as Event }
  })
}

/** Events that are of no task, in order. */
export async function pageOfOthers(reader: Reader, after: number, limit: number): Promise<LoggedEvent[]> {
  const rows = await reader.all<EventRow>(
    `select seq, at, stream, version, type, actor, body from event
     where seq > :after and not (stream > 'task/' and stream < 'task0') order by seq limit :limit`,
    { after, limit },
  )
  return rows.map(decode)
}
