/**
 * The ledger: accounts with limits, holds on them, charges, and the virtual keys that may draw on them.
 *
 *     placeHold ─▶ (chargeInput) ─▶ extendHold… ─▶ settleHold ─▶ one charge          daemon died: recoverHolds charges the whole hold
 *
 * Every function takes the transaction it belongs to: a hold and its sums over all accounts of a path are written together or not at all.
 * After every commit an account's `held` is the sum of its holds, its `spent` the sum of its charges. It never deletes a charge.
 */
import { createHash } from 'node:crypto'
import { fitTokens, forLane, tightest, type Account, type Grant, type ScopeLimit } from '../core/budget.ts'
import { partOfDay, sayScope } from '../core/day.ts'
import type { Lane } from '../core/lane.ts'
import { noTokens, type Tokens } from '../core/price.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import { accountsOf } from './account.ts'
import type { Reader, Tx } from './database.ts'
import { noteSpent, readPacing, waitInPace, watchSpending } from './pace.ts'

export type HoldAsk = {
  /** Refused when this key was revoked meanwhile: the last check before a request leaves. */
  keyHash: string
  grant: Omit<Grant, 'limitNanoUsd' | 'grantedAt'>
  model: string
  path: readonly ScopeLimit[]
  inputNanoUsd: number
  inputTokens: number
  /** Nano-dollars per million output tokens. */
  outputRate: number
  leastTokens: number
  mostTokens: number
  at: number
  day: string
}

/** `lifetime`: what the tightest account has left when holds are not counted, thus all this task can ever still spend. */
export type Placed = { hold: number; tokens: number; lifetime: number }

/** A limit is reached; `scope` says which: an account's, or `minute`: the pacer and the breaker. */
export type OverBudget = Refusal & { scope: string }

/** Not now: the pacer, or holds of others that will be given back. `refusal` is what it comes to if it cannot wait. */
export type Wait = { waits: 'pace' | 'holds'; ms: number; refusal: OverBudget }

export type Settlement = { nanoUsd: number; tokens: Tokens; how: 'exact' | 'estimated' | 'free'; at: number }

type HoldRow = {
  id: number
  scopes: string
  input_nano_usd: number
  output_nano_usd: number
  charged_nano_usd: number
  tokens: string
}

/** How a virtual key is stored and looked up. */
export const hashKey = (key: string): string => createHash('sha256').update(key).digest('hex')

/** Writes a virtual key, as its hash. For the transaction that admits the attempt; what its scope may spend is set when the gateway opens for it. */
export async function grantKey(tx: Tx, key: string, grant: Grant): Promise<void> {
  const { attempt, task, repo, stage, family, models, scope, grantedAt } = grant
  await tx.run(
    `insert into virtual_key (hash, attempt, task, repo, stage, family, models, scope, granted_at)
     values (:hash, :attempt, :task, :repo, :stage, :family, :models, :scope, :grantedAt)`,
    { hash: hashKey(key), attempt, task, repo, stage, family, models: JSON.stringify(models), scope, grantedAt },
  )
}

/** The attempt a live key belongs to, or undefined: unknown and revoked keys look the same. */
export const keyOwner = async (reader: Reader, hash: string): Promise<string | undefined> =>
  (
    await reader.get<{ attempt: string }>('select attempt from virtual_key where hash = :hash and revoked_at is null', {
      hash,
    })
  )?.attempt

/** Ends the keys of an attempt. Safe to call twice. */
export const revokeKeys = (tx: Tx, attempt: string, at: number): Promise<{ changes: number }> =>
  tx.run('update virtual_key set revoked_at = :at where attempt = :attempt and revoked_at is null', { attempt, at })

/** Ends every key: what a daemon does first, because nobody answers for the keys of the one before. */
export const revokeAllKeys = (tx: Tx, at: number): Promise<{ changes: number }> =>
  tx.run('update virtual_key set revoked_at = :at where revoked_at is null', { at })

/** Sets what a scope may spend in all (nano-dollars; null: no limit of its own). Holds already placed stay. */
export const setLimit = (tx: Tx, scope: string, limitNanoUsd: number | null): Promise<{ changes: number }> =>
  tx.run(
    `insert into account (scope, limit_nano_usd) values (:scope, :limit)
     on conflict (scope) do update set limit_nano_usd = excluded.limit_nano_usd`,
    { scope, limit: limitNanoUsd },
  )

/**
 * Holds input and as many output tokens as fit (`leastTokens` to `mostTokens`) on every account of the path, or on none.
 * Refuses: `key-revoked`, `over-budget`.
 */
export async function placeHold(tx: Tx, ask: HoldAsk): Promise<Placed | Wait | OverBudget | Refusal> {
  if ((await keyOwner(tx, ask.keyHash)) !== ask.grant.attempt) return refuse('key-revoked', 'this key has been revoked')
  const pacing = await readPacing(tx)
  if (pacing.breaker) return tripped(pacing.breaker.why)
  const all = await touchAccounts(tx, ask.path)
  const accounts = all.map((account) => forLane(account, ask.grant.lane))
  const least = tightest(accounts)
  const alone = tightest(accounts.map((account) => ({ ...account, held: 0 })))
  const burst = pacing.pace?.burstNanoUsd ?? Infinity
  const fit = (room: number) =>
    fitTokens(room, {
      inputNanoUsd: ask.inputNanoUsd,
      rate: ask.outputRate,
      least: ask.leastTokens,
      most: ask.mostTokens,
    })
  const wanted = ask.inputNanoUsd + outputCost(ask.leastTokens, ask.outputRate)
  if (wanted > burst) return beyondBurst(wanted, burst)
  const tokens = fit(Math.min(least.room, burst))
  if (tokens === null) {
    const refusal = full(least, wanted)
    return fit(alone.room) === null ? refusal : { waits: 'holds', ms: holdsMs, refusal }
  }
  const output = outputCost(tokens, ask.outputRate)
  const held = all.find(({ scope }) => scope === 'total')?.held ?? 0
  const ms = waitInPace(pacing, held, ask.inputNanoUsd + output, ask.at)
  if (ms > 0) return { waits: 'pace', ms, refusal: outOfPace(ms) }
  const scopes = JSON.stringify(ask.path.map(({ scope }) => scope))
  await moveHeld(tx, scopes, ask.inputNanoUsd + output)
  return { hold: await insertHold(tx, ask, { scopes, tokens, outputNanoUsd: output }), tokens, lifetime: alone.room }
}

/** Looked again at the latest after this where others' holds are in the way; whoever settles says so earlier. */
const holdsMs = 1000

/** `nanoUsd` more than is held; `outputTokens` in all. */
export type Extension = { nanoUsd: number; outputTokens: number }

/** One extension takes no more of what is left: near a limit many streams share it, and what one holds unused the others lack. */
const mostOfRoom = 1 / 8

/**
 * Holds more: the largest of `sizes` that leaves room for others, else the smallest that fits at all. A stream cannot wait, so the pacer is not asked; the
 * breaker is. Answers which. Refuses: `over-budget`, `hold-settled`.
 */
export async function extendHold<Size extends Extension>(
  tx: Tx,
  hold: number,
  sizes: readonly [Size, ...Size[]],
  { lane, at }: { lane: Lane; at: number },
): Promise<Size | OverBudget | Refusal> {
  const row = await holdRow(tx, hold)
  if (!row) return refuse('hold-settled', 'the request is settled already')
  const scopes = (JSON.parse(row.scopes) as string[]).map((scope) => ({ scope }))
  const accounts = (await touchAccounts(tx, scopes)).map((account) => forLane(account, lane))
  const least = tightest(accounts)
  const bySize = sizes.toSorted((a, b) => b.nanoUsd - a.nanoUsd)
  const taken = bySize.find(({ nanoUsd }) => nanoUsd <= least.room * mostOfRoom) ?? bySize.at(-1)!
  const { nanoUsd, outputTokens } = taken
  if (least.room < nanoUsd) return full(least, nanoUsd)
  await watchSpending(tx, at, nanoUsd)
  const { breaker } = await readPacing(tx)
  if (breaker) return tripped(breaker.why)
  await moveHeld(tx, row.scopes, nanoUsd)
  await tx.run(
    `update hold set output_nano_usd = output_nano_usd + :nanoUsd, tokens = json_set(tokens, '$.output', :outputTokens)
     where id = :hold`,
    { hold, nanoUsd, outputTokens },
  )
  return taken
}

/** Charges the true input and frees the input's hold; the output stays held. Does nothing to a settled hold. */
export async function chargeInput(tx: Tx, hold: number, nanoUsd: number, tokens: Tokens, at: number): Promise<void> {
  const row = await holdRow(tx, hold)
  if (!row) return
  await moveHeld(tx, row.scopes, -row.input_nano_usd)
  await moveSpent(tx, row.scopes, { nanoUsd, offPathNanoUsd: Math.max(0, nanoUsd - row.input_nano_usd), at })
  await tx.run(
    `update hold set input_nano_usd = 0, charged_nano_usd = charged_nano_usd + :nanoUsd,
       tokens = json_set(:tokens, '$.output', json_extract(tokens, '$.output')) where id = :hold`,
    { hold, nanoUsd, tokens: JSON.stringify(tokens) },
  )
}

/** Frees the hold and writes the one charge of its request. False when it was settled before. */
export async function settleHold(tx: Tx, hold: number, settlement: Settlement): Promise<boolean> {
  const row = await holdRow(tx, hold)
  if (!row) return false
  await closeHold(tx, row, settlement.nanoUsd, settlement.at)
  await insertCharge(tx, row, settlement.tokens, { ...settlement, hold })
  await tx.run('delete from hold where id = :hold', { hold })
  return true
}

/** Charges in full every hold that a dead daemon left: what was in flight may have been billed. Returns how many, and how much. */
export async function recoverHolds(tx: Tx, at: number): Promise<{ holds: number; nanoUsd: number }> {
  const rows = await tx.all<HoldRow>('select * from hold order by id')
  let nanoUsd = 0
  for (const row of rows) {
    const whole = row.input_nano_usd + row.output_nano_usd + row.charged_nano_usd
    await closeHold(tx, row, whole, at)
    const tokens = { ...noTokens, ...(JSON.parse(row.tokens) as Partial<Tokens>) }
    await insertCharge(tx, row, tokens, { nanoUsd: whole, how: 'recovered', at, hold: row.id })
    nanoUsd += whole
  }
  await tx.run('delete from hold')
  return { holds: rows.length, nanoUsd }
}

async function closeHold(tx: Tx, row: HoldRow, nanoUsd: number, at: number): Promise<void> {
  const held = row.input_nano_usd + row.output_nano_usd
  const rest = nanoUsd - row.charged_nano_usd
  await moveHeld(tx, row.scopes, -held)
  await moveSpent(tx, row.scopes, { nanoUsd: rest, offPathNanoUsd: Math.max(0, rest - held), at })
}

const holdRow = (tx: Tx, hold: number): Promise<HoldRow | undefined> =>
  tx.get<HoldRow>('select * from hold where id = :hold', { hold })

/** The accounts of a path, made where there is none yet and limited as it says. Mostly all is so already, and nothing is written. */
async function touchAccounts(tx: Tx, path: readonly ScopeLimit[]): Promise<Account[]> {
  const scopes = path.map(({ scope }) => scope)
  const found = await accountsOf(tx, scopes)
  const other = path.filter(({ limit }, index) => {
    const account = found[index]
    return account === undefined || (limit !== undefined && limit !== account.own)
  })
  for (const { scope, limit } of other)
    if (limit !== undefined) await setLimit(tx, scope, limit)
    else await tx.run('insert into account (scope) values (:scope)', { scope })
  return (other.length === 0 ? found : await accountsOf(tx, scopes)).map((account) => account!)
}

/** `scopes`: as a hold has them, a JSON array. */
const moveHeld = (tx: Tx, scopes: string, nanoUsd: number): Promise<{ changes: number }> =>
  tx.run(
    `update account set held_nano_usd = held_nano_usd + :nanoUsd
     where scope in (select value from json_each(:scopes))`,
    { scopes, nanoUsd },
  )

async function moveSpent(
  tx: Tx,
  scopes: string,
  spent: { nanoUsd: number; offPathNanoUsd: number; at: number },
): Promise<void> {
  const { nanoUsd } = spent
  await noteSpent(tx, spent)
  await tx.run(
    `update account set spent_nano_usd = spent_nano_usd + :nanoUsd
     where scope in (select value from json_each(:scopes))`,
    { scopes, nanoUsd },
  )
}

async function insertHold(
  tx: Tx,
  ask: HoldAsk,
  { scopes, tokens, outputNanoUsd }: { scopes: string; tokens: number; outputNanoUsd: number },
): Promise<number> {
  const { attempt, task, repo, stage, family } = ask.grant
  const row = await tx.get<{ id: number }>(
    `insert into hold (attempt, task, repo, stage, family, model, scopes, input_nano_usd, output_nano_usd, tokens, at, day)
     values (:attempt, :task, :repo, :stage, :family, :model, :scopes, :input, :outputNanoUsd, :tokens, :at, :day) returning id`,
    {
      attempt,
      task,
      repo,
      stage,
      family,
      outputNanoUsd,
      model: ask.model,
      at: ask.at,
      day: ask.day,
      scopes,
      input: ask.inputNanoUsd,
      tokens: JSON.stringify({ ...noTokens, input: ask.inputTokens, output: tokens }),
    },
  )
  return row!.id
}

async function insertCharge(
  tx: Tx,
  row: HoldRow,
  tokens: Tokens,
  charge: { nanoUsd: number; how: string; at: number; hold: number },
): Promise<void> {
  await tx.run(
    `insert into charge (hold, attempt, task, repo, stage, family, model, input, cached_input, cache_write, output, nano_usd, how, at, day)
     select id, attempt, task, repo, stage, family, model, :input, :cachedInput, :cacheWrite, :output, :nanoUsd, :how, :at, day
     from hold where id = :hold`,
    {
      nanoUsd: charge.nanoUsd,
      how: charge.how,
      at: charge.at,
      hold: charge.hold,
      input: tokens.input,
      cachedInput: tokens.cachedInput,
      cacheWrite: tokens.cacheWrite + tokens.cacheWriteHour,
      output: tokens.output,
    },
  )
}

const outputCost = (tokens: number, rate: number): number => Math.ceil((tokens * rate) / 1e6)

const dollars = (nanoUsd: number): string => `$${(Math.max(0, nanoUsd) / 1e9).toFixed(4)}`

const full = ({ scope, room }: { scope: string; room: number }, wanted: number): OverBudget => ({
  ...refuse(
    'over-budget',
    `the budget of ${sayScope(scope)} has ${dollars(room)} left and this request must hold ${dollars(wanted)}`,
    raiseHint(scope),
  ),
  scope,
})

function raiseHint(scope: string): string {
  const part = partOfDay(scope)
  if (part === null) return 'tri-agent budget raise TASK 5, or: tri-agent budget raise day 20'
  return `tri-agent budget raise ${part.of === 'repo' ? 'repository' : 'family'} ${part.name} 5`
}

const tripped = (why: string): OverBudget => ({
  ...refuse('over-budget', `the breaker has tripped: ${why}`),
  scope: 'minute',
})

const outOfPace = (ms: number): OverBudget => ({
  ...refuse('over-budget', `the pacer lets nothing through for another ${Math.ceil(ms / 1000)} s`),
  scope: 'minute',
})

const beyondBurst = (wanted: number, burst: number): OverBudget => ({
  ...refuse(
    'over-budget',
    `this request must hold ${dollars(wanted)}, more than the ${dollars(burst)} that may be spent at once`,
    'tri-agent budget set burst 5',
  ),
  scope: 'burst',
})

/** Adds to what a scope may spend, whatever its own limit becomes. */
export async function raiseLimit(tx: Tx, scope: string, nanoUsd: number): Promise<void> {
  await touchAccounts(tx, [{ scope }])
  await tx.run('update account set raised_nano_usd = raised_nano_usd + :nanoUsd where scope = :scope', {
    scope,
    nanoUsd,
  })
}
