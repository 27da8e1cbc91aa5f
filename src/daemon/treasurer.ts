/**
 * The treasurer: what time does to money. Closes a breaker once it may, lets parked tasks go on, warns of a minute that was dear. Part of every pass of the dispatcher, so that
 * what may start again starts in the same transaction.
 */
import { dayOf } from '../core/day.ts'
import type { OperatorSettings } from '../core/setting.ts'
import type { Reader, Tx } from '../store/database.ts'
import { raisedFor } from '../store/account.ts'
import { append } from '../store/append.ts'
import { closeBreaker, followClock, readPacing, warnOfSpending } from '../store/pace.ts'
import { parkedUntil } from '../store/task.ts'

/** What today may cost: the settings, and what a person added. */
export const dayLimit = async (
  reader: Reader,
  { money }: Pick<OperatorSettings, 'money'>,
  at: number,
): Promise<number> => money.dayNanoUsd + (await raisedFor(reader, `day/${dayOf(at)}`))

export async function keepBooks(tx: Tx, { money }: Pick<OperatorSettings, 'money'>, at: number): Promise<void> {
  await followClock(tx, at)
  await closeBreaker(tx, at, 'daemon')
  await resumeDue(tx, at)
  await warnOfSpending(tx, money.warnNanoUsd, at)
}

/** Parked tasks whose time has come: a new day, or a breaker that is closed again. */
async function resumeDue(tx: Tx, at: number): Promise<void> {
  const { breaker } = await readPacing(tx)
  for (const { id, parked } of await parkedUntil(tx, at))
    if (parked?.scope !== 'minute' || breaker === null)
      await append(tx, {
        at,
        actor: 'daemon',
        stream: `task/${id}`,
        events: [{ type: 'task.resumed', why: parked?.scope === 'minute' ? 'money flows again' : 'a new day' }],
      })
}
