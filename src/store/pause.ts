/** Pauses as they are: those in force, and when the others ended. */
import type { Pausable, Pause } from '../core/pause.ts'
import type { Reader, Tx } from './database.ts'

type Row = Omit<Pause, 'by' | 'now'> & { actor: string; now: number }

/** All there ever were: one of each thing at most, so a few. */
export const readPauses = async (reader: Reader): Promise<Pause[]> =>
  (await reader.all<Row>('select what, name, why, actor, at, now, until from pause order by at, what, name')).map(
    ({ what, name, why, actor, at, now, until }) => ({ what, name, why, by: actor, at, now: now === 1, until }),
  )

/** Projects `work.paused`. One that is in force already keeps its beginning. */
export async function keepPause(tx: Tx, pause: Omit<Pause, 'until'>): Promise<void> {
  const { what, name, why, by, at, now } = pause
  await tx.run(
    `insert into pause (what, name, why, actor, at, now) values (:what, :name, :why, :by, :at, :now)
     on conflict (what, name) do update set
       why = :why, actor = :by, at = iif(until is null, at, :at), now = :now, until = null`,
    { what, name, why, by, at, now: now ? 1 : 0 },
  )
}

/** Projects `work.resumed`. */
export async function endPause(tx: Tx, what: Pausable, name: string, at: number): Promise<void> {
  await tx.run('update pause set until = :at where what = :what and name = :name', { what, name, at })
}

/** How many attempts are under way of what is named. */
export async function countUnder(reader: Reader, { what, name }: Pick<Pause, 'what' | 'name'>): Promise<number> {
  const row = await reader.get<{ n: number }>(
    `select count(*) as n from attempt join task on task.id = attempt.task
     where attempt.state <> 'ended' and task.state not in ('done', 'cancelled')
       and case :what when 'all' then true when 'lane' then task.lane = :name when 'repo' then task.repo = :name
         else attempt.family = :name end`,
    { what, name },
  )
  return row!.n
}

/** Those of these attempts that are to end now: their task is over, or a person stopped it at once. One that lands at this moment is let finish. */
export async function attemptsToEnd(reader: Reader, attempts: readonly string[]): Promise<string[]> {
  const rows = await reader.all<{ id: string }>(
    `select attempt.id from attempt join task on task.id = attempt.task
     where attempt.id in (select value from json_each(:ids))
       and (task.state in ('done', 'cancelled')
         or (task.doc ->> '$.intent' is null
           and ((task.held is not null and task.doc ->> '$.heldNow')
             or exists (
               select 1 from pause
               where until is null and now = 1
                 and (what = 'all' or (what = 'lane' and name = task.lane) or (what = 'repo' and name = task.repo)
                   or (what = 'family' and name = attempt.family))))))`,
    { ids: JSON.stringify(attempts) },
  )
  return rows.map(({ id }) => id)
}
