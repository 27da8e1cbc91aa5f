/** The log page by page, task by task: what makes the tables anew reads it so, and nothing else does. */
import type { Event, LoggedEvent } from '../core/event.ts'
import type { Reader } from './database.ts'
import { decode, type EventRow } from './log.ts'
import type { Values } from './statement.ts'

export type TaskStory = { task: string; events: Told[] }
/** An event, and when it was. */
export type Told = Pick<LoggedEvent, 'at' | 'event'>

/**
 * What happened to tasks, task by task: whole stories of those that come after one, at most `most` events of them, but where one story alone is longer.
 * `last`: the task that the page ends with, null for the last page.
 */
export async function pageOfTasks(
  reader: Reader,
  after: string,
  most: number,
): Promise<{ stories: TaskStory[]; last: string | null }> {
  const { rows } = await reader.table(`${told} limit :most`, { after: `task/${after}`, most })
  if (rows.length < most) return { stories: storiesFrom(rows), last: null }
  const cut = rows.at(-1)![0] // its story may go on
  const page = rows.filter(([stream]) => stream !== cut)
  const stories = storiesFrom(page.length > 0 ? page : (await reader.table(storyOf, { stream: cut! })).rows)
  return { stories, last: stories.at(-1)!.task }
}

const told = `select stream, at, type, body from event where stream > :after and stream < 'task0' order by stream, version`
const storyOf = 'select stream, at, type, body from event where stream = :stream order by version'

/** Of rows that stand story by story. */
function storiesFrom(rows: readonly Values[]): TaskStory[] {
  const stories: TaskStory[] = []
  let stream = ''
  let events: Told[] = []
  for (const row of rows as [stream: string, at: number, type: string, body: string][]) {
    if (row[0] !== stream) {
      stream = row[0]
      events = []
      stories.push({ task: stream.slice('task/'.length), events })
    }
    const event = JSON.parse(row[3]) as Event
    event.type = row[2] as Event['type']
    events.push({ at: row[1], event })
  }
  return stories
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
