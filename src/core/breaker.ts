/**
 * The breaker: ends spending that the pacer should have held, because something we believed is not true any more.
 *
 *     closed ──too much in a minute, or off the pacer's path──▶ tripped ──a minute later, once a minute's spend is below the rate──▶ closed
 *
 * Tripped, every attempt that spends is ended and parked, and none starts. Beside it, one attempt alone is ended where it goes in circles while
 * the pacer is empty. Pure: sums and moments are handed in.
 */
import { showUsd } from './quantity.ts'
import type { Pace } from './pacer.ts'

export const windowMs = 60_000

/** What was spent and is held in the last 60 seconds, and what of it no hold had been written for. */
export type Spending = { committedNanoUsd: number; heldNanoUsd: number; offPathNanoUsd: number }

/** The most that 60 seconds may show: a burst, the minute's rate, and half as much again for streams that could not wait. */
export const breakerEdge = ({ burstNanoUsd, minuteNanoUsd }: Pace): number =>
  burstNanoUsd + Math.ceil(1.5 * minuteNanoUsd)

/** Spend off the path below this share of the rate is the last frame of a few cut streams, not a hole. */
const offPathShare = 0.1

/** Why the breaker must trip, or null. */
export function whyTrip({ committedNanoUsd, heldNanoUsd, offPathNanoUsd }: Spending, pace: Pace): string | null {
  const all = committedNanoUsd + heldNanoUsd
  const edge = breakerEdge(pace)
  if (all > edge)
    return `${showUsd(all)} spent and held within 60 seconds, more than ${showUsd(edge)} (money.burst and 1.5 × money.minute)`
  if (offPathNanoUsd > offPathShare * pace.minuteNanoUsd)
    return `${showUsd(offPathNanoUsd)} was billed within 60 seconds that nothing had been held for`
  return null
}

/** May a tripped breaker close again? */
export const mayClose = (spending: Spending, pace: Pace, trippedAt: number, at: number): boolean =>
  at - trippedAt >= windowMs && spending.committedNanoUsd + spending.heldNanoUsd <= pace.minuteNanoUsd

/** What an attempt has done since it last made something new. */
export type Circling = {
  /** Requests answered since its last progress, and how long that is ago without the time it waited in the gateway. */
  answers: number
  sinceMs: number
  /** How long requests have been waiting for the pacer without a break. */
  pacerEmptyMs: number
}

const circlingMs = 10 * 60_000
/** One long answer is no circle. */
const leastAnswers = 3

/** Spends others' money without making anything new: no edit of another size, no new kind of tool result. */
export const isWaste = ({ answers, sinceMs, pacerEmptyMs }: Circling): boolean =>
  pacerEmptyMs >= circlingMs && sinceMs >= circlingMs && answers >= leastAnswers

/** Above `warnNanoUsd` in the last minute a person hears of it; again only after a while. */
export const mayWarn = (spending: Spending, warnNanoUsd: number, warnedAt: number | null, at: number): boolean =>
  spending.committedNanoUsd > warnNanoUsd && (warnedAt === null || at - warnedAt >= 10 * windowMs)
