/**
 * The pacer: a token bucket of money. It fills by so much a minute up to a burst; a request passes when what it must hold fits beside what others
 * hold, and waits otherwise. So in any stretch of time at most the burst and the rate over that time are spent, however many ask.
 *
 *     level ──refills with time, up to the burst──▶     charges take from it; holds only reserve: room = level − held
 *
 * A stream that is under way cannot wait: what it holds on the way may take the level below zero, and whoever comes next waits for that too.
 * Pure: the level is handed in with the moment it was true.
 */

export type Pace = {
  /** What a minute may cost. */
  minuteNanoUsd: number
  /** What may be spent at once after a quiet time. */
  burstNanoUsd: number
}

/** What the bucket held at a moment (epoch milliseconds); below zero after streams took more than there was. */
export type Level = { nanoUsd: number; at: number }

const minuteMs = 60_000

export const fullLevel = (pace: Pace, at: number): Level => ({ nanoUsd: pace.burstNanoUsd, at })

/** The level at a moment. A clock that was set back refills nothing and takes nothing away. */
export function levelAt(level: Level, pace: Pace, at: number): number {
  const refilled = level.nanoUsd + Math.floor((pace.minuteNanoUsd * Math.max(0, at - level.at)) / minuteMs)
  return Math.min(pace.burstNanoUsd, refilled)
}

/** The level after a charge. */
export const takeFrom = (level: Level, pace: Pace, nanoUsd: number, at: number): Level => ({
  nanoUsd: levelAt(level, pace, at) - nanoUsd,
  at: Math.max(level.at, at),
})

/** Milliseconds until `asked` may pass beside `held`, as far as time alone can tell; 0: now. Infinity: more than the burst never passes. */
export function waitFor(level: Level, pace: Pace, held: number, asked: number, at: number): number {
  if (asked > pace.burstNanoUsd) return Infinity
  const missing = asked + held - levelAt(level, pace, at)
  if (missing <= 0) return 0
  if (pace.minuteNanoUsd === 0) return Infinity
  return Math.ceil((missing * minuteMs) / pace.minuteNanoUsd)
}
