/**
 * Laws of the queue: whoever a person put first goes first, and whoever has waited so long that it overtakes all others does. Looked at for tasks that
 * have not begun, because of these it is plain what they want.
 */
import type { StatementSync } from 'node:sqlite'
import { broken, type Heard, type Law, type Rules, type Seen } from './table.ts'

const lanes = ['critical', 'normal', 'background']
/** Waiting this long raises a task by one lane. */
const laneStepMs = 15 * 60_000

type Place = { readyAt: number; override: boolean; size: string }

export function orderLaws(
  sql: (text: string) => StatementSync,
  tasks: ReadonlyMap<string, Seen>,
  paused: ReadonlySet<string>,
  { money, caps }: Rules,
): Law {
  const places = new Map<string, Place>()
  const resumed = new Map<string, number>()
  const used = sql(
    `select scope, spent_nano_usd + held_nano_usd as used, limit_nano_usd + raised_nano_usd as most from account
     where scope glob :day and limit_nano_usd is not null`,
  )
  const narrow = { before: false, now: false }

  const groupsOf = ({ lane, repo }: Seen) => ['all all', `lane ${lane}`, `repo ${repo}`]
  const rank = (task: Seen, at: number): number => {
    const since = Math.max(places.get(task.id)!.readyAt, ...groupsOf(task).map((each) => resumed.get(each) ?? 0))
    return lanes.indexOf(task.lane) - Math.floor(Math.max(0, at - since) / laneStepMs)
  }
  const roleOf = ({ id, kind }: Seen): string => {
    if (kind === 'review') return 'gate'
    return kind === 'architect' || places.get(id)!.size !== 'small' ? 'architect' : 'implementer'
  }
  const mayBegin = (task: Seen): boolean =>
    task.phase === 'open' &&
    task.token === 0 &&
    !task.held &&
    !groupsOf(task).some((each) => paused.has(each)) &&
    task.after.every((each) => tasks.get(each)?.phase === 'done')
  const isPlain =
    Object.keys({ ...money.repositories, ...caps.repositories }).length === 0
      ? () => true
      : (one: Seen, other: Seen) => one.repo === other.repo

  const judge = ({ row, event, task: taken }: Heard): void => {
    if (event.type !== 'attempt.admitted' || !taken || !['plan', 'implement', 'verify', 'land'].includes(event.step))
      return
    const own = { override: places.get(taken.id)!.override, rank: rank(taken, row.at) }
    const isNarrow = narrow.before || narrow.now
    for (const task of tasks.values()) {
      if (task.token > 0 || task === taken || !mayBegin(task) || roleOf(task) !== event.role || !isPlain(task, taken))
        continue
      if (isNarrow && task.lane !== taken.lane) continue // on a day that is nearly used up lanes stop one by one
      const { override } = places.get(task.id)!
      if (override && !own.override)
        broken(`${event.attempt} was admitted for ${taken.id} before ${task.id}, which goes first`)
      if (override === own.override && rank(task, row.at) < own.rank)
        broken(`${event.attempt} was admitted for ${taken.id} before ${task.id}, which has waited longer than its lane`)
    }
  }
  const note = ({ row, event, task }: Heard): void => {
    if (event.type === 'work.resumed') resumed.set(`${event.what} ${event.name}`, row.at)
    if (event.type === 'work.paused') resumed.delete(`${event.what} ${event.name}`)
    if (event.type === 'task.added') places.set(event.task, { readyAt: row.at, override: false, size: event.size })
    const place = task && places.get(task.id)
    if (!place) return
    if (event.type === 'task.prioritized') place.override = event.override ?? place.override
    const isReady =
      /^task\.(released|retried|approved|rejected|returned)$|^round\.opened$/.test(event.type) ||
      (event.type === 'task.resumed' && task.phase === 'parked') ||
      (event.type === 'attempt.ended' && event.outcome !== 'rate-limited')
    if (isReady) place.readyAt = row.at
  }
  return {
    hear(heard) {
      judge(heard)
      note(heard)
    },
    look(at) {
      const rows = used.all({ day: `day/${new Date(at).toISOString().slice(0, 10)}*` }) as {
        used: number
        most: number
      }[]
      narrow.before = narrow.now
      narrow.now = rows.some((each) => each.used > 0.4 * each.most)
    },
    end() {},
  }
}
