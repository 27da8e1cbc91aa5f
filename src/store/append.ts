/** Appending to the log. It projects in the same transaction, so that the log and the tables cannot disagree. */
import type { Event, LoggedEvent } from '../core/event.ts'
import type { Tx } from './database.ts'
import { project, standing } from './projection.ts'

export type Entry = { at: number; actor: string; stream: string; events: readonly Event[] }

/** Appends events to one stream, in order. `at` is epoch milliseconds, `actor` who decided: `daemon`, `person:NAME`, `gateway`. */
export async function append(tx: Tx, { at, actor, stream, events }: Entry): Promise<void> {
  if (events.length === 0) return
  // of a task that is added there is nothing yet: were there, its first event would be refused
  const before = events[0]!.type === 'task.added' ? nothing : await standing(tx, stream)
  let { version } = before
  const logged: LoggedEvent[] = []
  for (const event of events) {
    version += 1
    const { type } = event
    const body = bodyOf(event)
    const { rowId: seq } = await tx.run(
      `insert into event (at, stream, version, type, actor, body)
       values (:at, :stream, :version, :type, :actor, :body)`,
      { at, stream, version, type, actor, body },
    )
    tx.appended({ seq, at, stream, version, type, actor, body })
    logged.push({ seq, at, stream, version, actor, event })
  }
  await project(tx, stream, logged, before)
}

const nothing = { version: 0, task: null }

/** The event without its type, which has a column of its own. Cut off where it stands first, as it does nearly always: that spares a copy. */
function bodyOf(event: Event): string {
  const whole = JSON.stringify(event)
  const head = `{"type":"${event.type}"`
  if (whole.startsWith(head)) return whole[head.length] === ',' ? `{${whole.slice(head.length + 1)}` : '{}'
  const { type: _, ...rest } = event
  return JSON.stringify(rest)
}
