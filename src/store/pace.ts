/**
 * The pacer and the breaker as rows: moved in the very transaction that moves money, so that a crash forgets neither.
 *
 *     charge ─▶ level falls, this second's spending rises ─▶ `watchSpending`: too much? ─▶ the breaker is tripped, in the log
 *
 * Without a row, or with one that names no rate, nothing is paced; what is spent is written down all the same.
 */
import { mayClose, mayWarn, whyTrip, windowMs, type Spending } from '../core/breaker.ts'
import { fullLevel, takeFrom, waitFor, type Level, type Pace } from '../core/pacer.ts'
import type { Reader, Tx } from './database.ts'
import { append } from './append.ts'

type Row = {
  minute_nano_usd: number | null
  burst_nano_usd: number | null
  level_nano_usd: number
  at: number
  warned_at: number | null
  tripped_at: number | null
  tripped_why: string | null
}

export type Pacing = {
  /** Null: nothing is paced. */
  pace: Pace | null
  level: Level
  warnedAt: number | null
  breaker: { trippedAt: number; why: string } | null
}

const moneyStream = 'budget/main'
/** Older seconds are of no use to the breaker, the warning or the forecast. */
const keptMs = 2 * 3_600_000

/** Sets what a minute may cost (null: no limit). The level stays what it was, within the new burst. */
export async function setPace(tx: Tx, pace: Pace | null, at: number): Promise<void> {
  await tx.run(
    `insert into pacer (one, minute_nano_usd, burst_nano_usd, level_nano_usd, at) values (1, :minute, :burst, :level, :at)
     on conflict (one) do update set minute_nano_usd = :minute, burst_nano_usd = :burst`,
    {
      minute: pace?.minuteNanoUsd ?? null,
      burst: pace?.burstNanoUsd ?? null,
      level: pace ? fullLevel(pace, at).nanoUsd : 0,
      at,
    },
  )
}

/** The pacer and the breaker as they stand. */
export async function readPacing(reader: Reader): Promise<Pacing> {
  const row = await reader.get<Row>(
    'select minute_nano_usd, burst_nano_usd, level_nano_usd, at, warned_at, tripped_at, tripped_why from pacer where one = 1',
  )
  if (!row) return { pace: null, level: { nanoUsd: 0, at: 0 }, warnedAt: null, breaker: null }
  const { minute_nano_usd: minuteNanoUsd, burst_nano_usd: burstNanoUsd, tripped_at: trippedAt } = row
  return {
    pace: minuteNanoUsd === null || burstNanoUsd === null ? null : { minuteNanoUsd, burstNanoUsd },
    level: { nanoUsd: row.level_nano_usd, at: row.at },
    warnedAt: row.warned_at,
    breaker: trippedAt === null ? null : { trippedAt, why: row.tripped_why! },
  }
}

/**
 * Where the wall clock was set back, time counts from here; or nothing would be refilled, and no breaker close, until it has come to where it was.
 * What was spent in what is now the future says nothing about the last minute, and is forgotten.
 */
export async function followClock(tx: Tx, at: number): Promise<void> {
  await tx.run(
    `update pacer set at = min(at, :at), warned_at = min(warned_at, :at), tripped_at = min(tripped_at, :at)
     where one = 1 and max(at, coalesce(warned_at, 0), coalesce(tripped_at, 0)) > :at`,
    { at },
  )
  await tx.run('delete from spending where second > :now', { now: Math.floor(at / 1000) })
}

/** Milliseconds that a hold of so much must wait; 0: it may be written now. */
export function waitInPace({ pace, level }: Pacing, held: number, asked: number, at: number): number {
  return pace === null ? 0 : waitFor(level, pace, held, asked, at)
}

/** Writes down that money was spent; `offPathNanoUsd` of it nothing had been held for. */
export async function noteSpent(
  tx: Tx,
  { nanoUsd, offPathNanoUsd, at }: { nanoUsd: number; offPathNanoUsd: number; at: number },
): Promise<void> {
  const { pace, level } = await readPacing(tx)
  if (pace) {
    const after = takeFrom(level, pace, nanoUsd, at)
    await tx.run('update pacer set level_nano_usd = :level, at = :at where one = 1', {
      level: after.nanoUsd,
      at: after.at,
    })
  }
  const second = Math.floor(at / 1000)
  await tx.run(
    `insert into spending (second, nano_usd, off_path_nano_usd) values (:second, :nanoUsd, :offPathNanoUsd)
     on conflict (second) do update set nano_usd = nano_usd + :nanoUsd, off_path_nano_usd = off_path_nano_usd + :offPathNanoUsd`,
    { second, nanoUsd, offPathNanoUsd },
  )
  await tx.run('delete from spending where second < :oldest', { oldest: second - keptMs / 1000 })
}

/** What the last minute shows since the breaker was last closed, and what is held now. */
export async function readSpending(reader: Reader, at: number): Promise<Spending> {
  const spent = await reader.get<{ committed: number; off: number }>(
    `select coalesce(sum(nano_usd), 0) as committed, coalesce(sum(off_path_nano_usd), 0) as off
     from spending where second > max(:from, coalesce((select counts_from / 1000 from pacer), 0))`,
    { from: Math.floor((at - windowMs) / 1000) },
  )
  const held = await reader.get<{ held: number }>("select held_nano_usd as held from account where scope = 'total'")
  return { committedNanoUsd: spent!.committed, offPathNanoUsd: spent!.off, heldNanoUsd: held?.held ?? 0 }
}

const lateMs = 3_600_000

/** What was spent in the last hour, or since the first spending in it. */
export async function spentLately(reader: Reader, at: number): Promise<{ nanoUsd: number; ms: number }> {
  const row = await reader.get<{ nanoUsd: number | null; first: number | null }>(
    'select sum(nano_usd) as nanoUsd, min(second) as first from spending where second > :from',
    { from: Math.floor((at - lateMs) / 1000) },
  )
  if (!row || row.first === null) return { nanoUsd: 0, ms: 0 }
  return { nanoUsd: row.nanoUsd ?? 0, ms: Math.max(60_000, at - row.first * 1000) }
}

/** Trips the breaker if it must (`more`: about to be held). Answers why at the moment it trips, null before and after. */
export async function watchSpending(tx: Tx, at: number, more = 0): Promise<string | null> {
  const { pace, breaker } = await readPacing(tx)
  if (pace === null || breaker !== null) return null
  const spending = await readSpending(tx, at)
  const why = whyTrip({ ...spending, heldNanoUsd: spending.heldNanoUsd + more }, pace)
  if (why === null) return null
  await tx.run('update pacer set tripped_at = :at, tripped_why = :why where one = 1', { at, why })
  const { committedNanoUsd, heldNanoUsd } = spending
  const event = { type: 'breaker.tripped' as const, why, committedNanoUsd, heldNanoUsd }
  await append(tx, { at, actor: 'gateway', stream: moneyStream, events: [event] })
  return why
}

/** Closes a tripped breaker: once it may (`actor` the daemon), or because a person says so. True when it was tripped and is closed now. */
export async function closeBreaker(tx: Tx, at: number, actor: string): Promise<boolean> {
  const { pace, breaker } = await readPacing(tx)
  if (breaker === null) return false
  const asked = actor !== 'daemon'
  if (!asked && pace !== null && !mayClose(await readSpending(tx, at), pace, breaker.trippedAt, at)) return false
  await tx.run('update pacer set tripped_at = null, tripped_why = null, counts_from = :at where one = 1', { at })
  await append(tx, {
    at,
    actor,
    stream: moneyStream,
    events: [{ type: 'breaker.closed', trippedAt: breaker.trippedAt }],
  })
  return true
}

/** Writes a warning into the log where the last minute cost more than `warnNanoUsd`, once in a while. True when it did. */
export async function warnOfSpending(tx: Tx, warnNanoUsd: number, at: number): Promise<boolean> {
  const { warnedAt } = await readPacing(tx)
  const spending = await readSpending(tx, at)
  if (!mayWarn(spending, warnNanoUsd, warnedAt, at)) return false
  await tx.run('update pacer set warned_at = :at where one = 1', { at })
  const event = { type: 'spending.warned' as const, minuteNanoUsd: spending.committedNanoUsd, warnNanoUsd }
  await append(tx, { at, actor: 'daemon', stream: moneyStream, events: [event] })
  return true
}
