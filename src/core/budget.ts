/**
 * What a budget is and how much of it one request must hold before it leaves.
 *
 *     hold input bound + first lease + margin ─▶ charge input at first usage ─▶ extend the lease by quanta ─▶ settle
 *                                                                                  └─ refused: settle, abort, end
 *
 * For every scope, after every commit: spent + held + what is asked for ≤ limit. The margin pays for what a provider makes between our abort and
 * its obeying, so a cut costs nothing that was not held. Pure: the store keeps the sums, the gateway sees the bytes.
 */
import { familyDay, repoDay } from './day.ts'
import type { Family } from './family.ts'
import type { Lane } from './lane.ts'
import type { Pace } from './pacer.ts'
import { tokensFor } from './price.ts'

/** What a virtual key may do. Its fence is the attempt: it dies with it. */
export type Grant = {
  attempt: string
  task: string
  repo: string
  /** As the settings name the repository. */
  repoName: string
  stage: string
  lane: Lane
  family: Family
  models: readonly string[]
  /** Epoch milliseconds, wall: only for people; the grant ends by `revoke`. */
  grantedAt: number
  /** The task's own limit and the scope it draws on (a sub-task draws on its root). */
  scope: string
  limitNanoUsd: number
}

/** Money and the assumptions it rests on. `null` is no limit. */
export type Limits = {
  totalNanoUsd: number | null
  dayNanoUsd: number | null
  /** What a repository, by its name, and a family may cost a day; what is not named has no limit of its own. */
  repositoriesNanoUsd: Readonly<Record<string, number>>
  familiesNanoUsd: Readonly<Record<string, number>>
  attemptNanoUsd: number | null
  /** What may be spent a minute; null: nothing is paced. */
  pace: Pace | null
  /** Output tokens held at a time. */
  quantumTokens: number
  /** Fastest decoding believed possible, tokens a second: prices the margin and silence in which a model may be reasoning unseen. */
  decodeRate: number
  /** How long a provider may go on after our abort. */
  cancelLagMs: number
  /** Tokens one event of a stream may carry beyond the lease. */
  frameTokens: number
  /** Visible bytes for one token, taken low: code has 3.9, prose more. */
  bytesPerToken: number
  /** Output cap told to a provider that bills after an abort, or asked without a stream, when the client names none. */
  outputCapTokens: number
  /** A request that could not answer in this many tokens is refused instead of clamped. */
  leastOutputTokens: number
}

/** $75 a day, $1 a minute; facts: quantum, decode rate, lag and frame are the measured start values. */
export const defaultLimits: Limits = {
  totalNanoUsd: null,
  dayNanoUsd: 75_000_000_000,
  repositoriesNanoUsd: {},
  familiesNanoUsd: {},
  attemptNanoUsd: null,
  pace: { minuteNanoUsd: 1_000_000_000, burstNanoUsd: 3_000_000_000 },
  quantumTokens: 2000,
  decodeRate: 400,
  cancelLagMs: 1000,
  frameTokens: 64,
  bytesPerToken: 3,
  outputCapTokens: 65_536,
  leastOutputTokens: 256,
}

/** One account a request draws on. `limit` undefined: the one already stored holds. */
export type ScopeLimit = { scope: string; limit?: number | null }

type Drawing = Pick<Grant, 'scope' | 'attempt' | 'repo' | 'repoName' | 'family'>
export type DayLimits = Pick<Limits, 'dayNanoUsd' | 'repositoriesNanoUsd' | 'familiesNanoUsd'>

/** The accounts of a day that a request draws on. */
export const dayPath = (
  { repo, repoName, family }: Omit<Drawing, 'scope' | 'attempt'>,
  limits: DayLimits,
  day: string,
): Required<ScopeLimit>[] => [
  { scope: `day/${day}`, limit: limits.dayNanoUsd },
  { scope: repoDay(day, repo), limit: limitOf(limits.repositoriesNanoUsd, repoName) },
  { scope: familyDay(day, family), limit: limitOf(limits.familiesNanoUsd, family) },
]

/** The limit of what is named, or null: it has none. */
export const limitOf = (limits: Readonly<Record<string, number>>, name: string): number | null =>
  Object.hasOwn(limits, name) ? limits[name]! : null

/** The accounts a request draws on, widest first. */
export const scopePath = (grant: Drawing, limits: Limits, day: string): ScopeLimit[] => [
  { scope: 'total', limit: limits.totalNanoUsd },
  ...dayPath(grant, limits, day),
  { scope: grant.scope },
  { scope: `attempt/${grant.attempt}`, limit: limits.attemptNanoUsd },
]

/** Tokens a provider may bill after we stop listening: the cancel lag alone. */
export const lagTokens = (limits: Limits): number => Math.ceil((limits.decodeRate * limits.cancelLagMs) / 1000)

/** Output tokens to hold for a lease: the lease with lag and one frame on top, never more than the provider was told to stop at. */
export const heldTokens = (lease: number, cap: number | null, limits: Limits): number =>
  Math.min(lease + lagTokens(limits) + limits.frameTokens, cap ?? Infinity)

/** The lease wanted once `used` tokens are thought spent: the same while there is room, else grown by whole quanta. */
export function nextLease(used: number, lease: number, limits: Limits): number {
  const edge = 0.85 * lease
  return used <= edge ? lease : lease + Math.ceil((used - edge) / limits.quantumTokens) * limits.quantumTokens
}

/** How much of what everybody shares work of a lane may use. A task's own budget is for it alone. */
const laneShare: Readonly<Record<Lane, number>> = { critical: 1, normal: 0.9, background: 0.8 }

/** An account as work of a lane sees it. */
export const forLane = (account: Account, lane: Lane): Account =>
  account.limit !== null && (account.scope === 'total' || account.scope.startsWith('day/'))
    ? { ...account, limit: Math.floor(account.limit * laneShare[lane]) }
    : account

export type Account = { scope: string; limit: number | null; spent: number; held: number }

/** What is left in the tightest account of a path, and which one that is. Infinity without limits. */
export function tightest(accounts: readonly Account[]): { scope: string; room: number } {
  return accounts
    .map(({ scope, limit, spent, held }) => ({ scope, room: limit === null ? Infinity : limit - spent - held }))
    .reduce((least, each) => (each.room < least.room ? each : least), { scope: '', room: Infinity })
}

/** Output tokens that fit beside `inputNanoUsd`: as many as `most`, or null when not even `least` do. `rate` is nano-dollars per million. */
export function fitTokens(
  room: number,
  ask: { inputNanoUsd: number; rate: number; least: number; most: number },
): number | null {
  const left = room - ask.inputNanoUsd
  if (left < 0) return null
  const fit = left === Infinity ? ask.most : Math.min(ask.most, tokensFor(left, ask.rate))
  return fit < ask.least ? null : fit
}
