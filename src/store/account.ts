/** The ledger as it is read: accounts, and what was charged. What moves money is beside (ledger.ts). */
import type { Account } from '../core/budget.ts'
import type { Reader } from './database.ts'

/** What a scope may spend, has spent and holds (nano-dollars); undefined when nothing ever drew on it. */
export async function accountOf(reader: Reader, scope: string): Promise<Account | undefined> {
  const row = await reader.get<Account>(
    `select scope, min(limit_nano_usd + raised_nano_usd, ${Number.MAX_SAFE_INTEGER}) as "limit", spent_nano_usd as spent, held_nano_usd as held from account where scope = :scope`,
    { scope },
  )
  return row && { ...row }
}

/** Several accounts in one look, in the order asked for, with the limit of its own (`own`) each has; undefined where nothing ever drew on one. */
export async function accountsOf(
  reader: Reader,
  scopes: readonly string[],
): Promise<((Account & { own: number | null }) | undefined)[]> {
  const rows = await reader.all<Account & { own: number | null }>(
    `select scope, min(limit_nano_usd + raised_nano_usd, ${Number.MAX_SAFE_INTEGER}) as "limit", limit_nano_usd as own,
       spent_nano_usd as spent, held_nano_usd as held
     from account where scope in (select value from json_each(:scopes))`,
    { scopes: JSON.stringify(scopes) },
  )
  const byScope = new Map(rows.map((row) => [row.scope, row]))
  return scopes.map((scope) => byScope.get(scope))
}

type PartAccount = { spent: number; held: number; raised: number }

/** What repositories and families have of a day, by scope. */
export async function partsOf(reader: Reader, day: string): Promise<Map<string, PartAccount>> {
  const rows = await reader.all<PartAccount & { scope: string }>(
    `select scope, spent_nano_usd as spent, held_nano_usd as held, raised_nano_usd as raised
     from account where scope > :from and scope < :to order by scope`,
    { from: `day/${day}/`, to: `day/${day}0` },
  )
  return new Map(rows.map(({ scope, ...sums }) => [scope, sums]))
}

/** What a person added to a scope's limit. */
export const raisedFor = async (reader: Reader, scope: string): Promise<number> =>
  (
    await reader.get<{ raised: number }>('select raised_nano_usd as raised from account where scope = :scope', {
      scope,
    })
  )?.raised ?? 0

/** Nano-dollars spent by a scope so far, holds not counted. */
export const spentBy = async (reader: Reader, scope: string): Promise<number> =>
  (await accountOf(reader, scope))?.spent ?? 0

export type Dimension = 'attempt' | 'task' | 'repo' | 'stage' | 'family' | 'model' | 'day'
export type Total = {
  name: string
  requests: number
  input: number
  cachedInput: number
  cacheWrite: number
  output: number
  nanoUsd: number
}

/** Charges summed by one dimension, dearest first; `from` and `to` are days (inclusive), `task` keeps one task's. */
export async function totalsBy(
  reader: Reader,
  by: Dimension,
  only: { from?: string; to?: string; task?: string } = {},
): Promise<Total[]> {
  const rows = await reader.all<Total>(
    `select case :by when 'attempt' then attempt when 'task' then task when 'repo' then repo when 'stage' then stage
                     when 'family' then family when 'model' then model else day end as name,
            count(*) as requests, sum(input) as input, sum(cached_input) as cachedInput, sum(cache_write) as cacheWrite,
            sum(output) as output, sum(nano_usd) as nanoUsd
     from charge where day >= :from and day <= :to and (:task is null or task = :task)
     group by name order by nanoUsd desc, name`,
    { by, from: only.from ?? '', to: only.to ?? '9999', task: only.task ?? null },
  )
  return rows.map((row) => ({ ...row }))
}
