/** The log as it is read. What appends to it is beside (append.ts), so that whoever only reads loads none of it. */
import type { AttemptEnded, Event, EventType, LoggedEvent } from '../core/event.ts'
import type { Reader } from './database.ts'

type Row = { seq: number; at: number; stream: string; version: number; type: string; actor: string; body: string }

export type LogFilter = { after?: number; stream?: string; since?: number; types?: readonly string[]; limit: number }

/** Events in order, at most `limit`, after a sequence number. */
export async function readLog(reader: Reader, filter: LogFilter): Promise<LoggedEvent[]> {
  const rows = await reader.all<Row>(
    `select seq, at, stream, version, type, actor, body from event
     where seq > :after
       and (:stream is null or stream = :stream)
       and at >= :since
       and (:types is null or type in (select value from json_each(:types)))
     order by seq limit :limit`,
    {
      after: filter.after ?? 0,
      stream: filter.stream ?? null,
      since: filter.since ?? 0,
      types: filter.types ? JSON.stringify(filter.types) : null,
      limit: filter.limit,
    },
  )
  return rows.map(decode)
}

/** The last events that fit, oldest of them first. */
export async function readLastLog(reader: Reader, filter: Omit<LogFilter, 'after'>): Promise<LoggedEvent[]> {
  const rows = await reader.all<Row>(
    `select seq, at, stream, version, type, actor, body from event
     where (:stream is null or stream = :stream)
       and at >= :since
       and (:types is null or type in (select value from json_each(:types)))
     order by seq desc limit :limit`,
    {
      stream: filter.stream ?? null,
      since: filter.since ?? 0,
      types: filter.types ? JSON.stringify(filter.types) : null,
      limit: filter.limit,
    },
  )
  return rows.map(decode).reverse()
}

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
  const rows = await reader.all<Row>(
    `select seq, at, stream, version, type, actor, body from event
     where seq > :after and not (stream > 'task/' and stream < 'task0') order by seq limit :limit`,
    { after, limit },
  )
  return rows.map(decode)
}

/** Everything in one stream, in order. */
export const streamOf = (reader: Reader, stream: string): Promise<LoggedEvent[]> =>
  readLog(reader, { stream, limit: Number.MAX_SAFE_INTEGER })

/** Everything that happened to one task, in order. */
export const storyOf = (reader: Reader, task: string): Promise<LoggedEvent[]> =>
  readLog(reader, { stream: `task/${task}`, limit: Number.MAX_SAFE_INTEGER })

/** The last event of one type in one stream, or null. */
export async function lastEvent(reader: Reader, stream: string, type: EventType): Promise<LoggedEvent | null> {
  const row = await reader.get<Row>(
    `select seq, at, stream, version, type, actor, body from event
     where stream = :stream and type = :type order by version desc limit 1`,
    { stream, type },
  )
  return row ? decode(row) : null
}

export type AttemptEnd = Pick<AttemptEnded, 'outcome' | 'reason' | 'killed'>

/** How those of these attempts ended that have. */
export async function attemptEnds(
  reader: Reader,
  attempts: readonly { id: string; task: string }[],
): Promise<Map<string, AttemptEnd>> {
  const rows = await reader.all<{ attempt: string; body: string }>(
    `select body ->> '$.attempt' as attempt, body from event
     where type = 'attempt.ended' and stream in (select value from json_each(:streams))
       and body ->> '$.attempt' in (select value from json_each(:ids))`,
    {
      streams: JSON.stringify([...new Set(attempts.map(({ task }) => `task/${task}`))]),
      ids: JSON.stringify(attempts.map(({ id }) => id)),
    },
  )
  return new Map(rows.map(({ attempt, body }) => [attempt, JSON.parse(body) as AttemptEnd]))
}

/** The highest sequence number, 0 for an empty log. */
export async function lastSeq(reader: Reader): Promise<number> {
  return (await reader.get<{ seq: number }>('select coalesce(max(seq), 0) as seq from event'))!.seq
}

/** When the log begins, epoch milliseconds; null for an empty one. */
export async function firstAt(reader: Reader): Promise<number | null> {
  return (await reader.get<{ at: number }>('select at from event order by seq limit 1'))?.at ?? null
}

/** When the log was last written to, epoch milliseconds; 0 for an empty one. */
export async function lastAt(reader: Reader): Promise<number> {
  return (await reader.get<{ at: number }>('select at from event order by seq desc limit 1'))?.at ?? 0
}

function decode({ type, body, ...row }: Row): LoggedEvent {
  return { ...row, event: { type, ...JSON.parse(body) } as Event }
}
