/**
 * The treasurer: what time does to money. Closes a breaker once it may, warns of a minute that was dear. Part of every pass of the dispatcher, so that
 * what may start again starts in the same transaction.
 */
import { dayOf } from '../core/budget.ts'
import type { OperatorSettings } from '../core/setting.ts'
import type { Reader, Tx } from '../store/database.ts'
import { raisedFor } from '../store/ledger.ts'
import { closeBreaker, warnOfSpending } from '../store/pace.ts'

/** What today may cost: the settings, and what a person added. */
export const dayLimit = async (
  reader: Reader,
  { money }: Pick<OperatorSettings, 'money'>,
  at: number,
): Promise<number> => money.dayNanoUsd + (await raisedFor(reader, `day/${dayOf(at)}`))

export async function keepBooks(tx: Tx, { money }: Pick<OperatorSettings, 'money'>, at: number): Promise<void> {
  await closeBreaker(tx, at, 'daemon')
  await warnOfSpending(tx, money.warnNanoUsd, at)
}
