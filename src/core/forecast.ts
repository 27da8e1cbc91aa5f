/** How long a day's money lasts if it goes on being spent as lately. Pure. */
import { dayEnd } from './day.ts'

export type Forecast = {
  /** Nano-dollars an hour, as lately. */
  hourNanoUsd: number
  /** When the day's money is over; null: it outlasts the day. */
  endsAt: number | null
}

/** The forecast, or null where nothing was spent lately. `recent`: what was spent in the last `ms`. */
export function forecastDay(
  { usedNanoUsd, limitNanoUsd }: { usedNanoUsd: number; limitNanoUsd: number },
  recent: { nanoUsd: number; ms: number },
  at: number,
): Forecast | null {
  if (recent.nanoUsd <= 0 || recent.ms <= 0) return null
  const hourNanoUsd = Math.round((recent.nanoUsd * 3_600_000) / recent.ms)
  const endsAt = at + Math.round((Math.max(0, limitNanoUsd - usedNanoUsd) * recent.ms) / recent.nanoUsd)
  return { hourNanoUsd, endsAt: endsAt < dayEnd(at) ? endsAt : null }
}
