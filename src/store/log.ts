/** The log as it is read. What appends to it is beside (append.ts), so that whoever only reads loads none of it. */
import type { AttemptEnded, Event, EventType, LoggedEvent } from '../core/event.ts'
import type { Reader } from './database.ts'

export type EventRow = {
  seq: number
  at: number
  stream: string
  version: number
  type: string
  actor: string
  body: string
}

export type LogFilter = { after?: number; stream?: string; since?: number; types?: readonly string[]; limit: number }

/** Events in order, at most `limit`, after a sequence number. */
export async function readLog(reader: Reader, filter: LogFilter): Promise<LoggedEvent[]> {
  const rows = await reader.all<EventRow>(
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
  const rows = await reader.all<EventRow>(
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

/** Everything in one stream, in order. */
export const streamOf = (reader: Reader, stream: string): Promise<LoggedEvent[]> =>
  readLog(reader, { stream, limit: Number.MAX_SAFE_INTEGER })

/** Everything that happened to one task, in order. */
export const storyOf = (reader: Reader, task: string): Promise<LoggedEvent[]> =>
  readLog(reader, { stream: `task/${task}`, limit: Number.MAX_SAFE_INTEGER })

/** The last event of one type in one stream, or null. */
export async function lastEvent(reader: Reader, stream: string, type: EventType): Promise<LoggedEvent | null> {
  const row = await reader.get<EventRow>(
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

/** Every type that an event of this log has. */
export const typesInLog = async (reader: Reader): Promise<string[]> =>
  (await reader.all<{ type: string }>('select distinct type from event order by type')).map(({ type }) => type)

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

export function decode({ type, body, ...row }: EventRow): LoggedEvent {
  return { ...row, event: { type, ...JSON.parse(body) } as Event }
}
