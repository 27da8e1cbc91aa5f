/** How long nothing may start for no other reason than that time passes. Pure, over the snapshot that admission decides on. */
import type { Snapshot } from './admission.ts'
import { dayEnd } from './day.ts'
import { roles } from './task.ts'

/**
 * Milliseconds for which admission goes on to let nothing in, where it lets nothing in now and nothing else changes than the clocks; what is read beside
 * the snapshot (`moments`, epoch milliseconds) may end it sooner. 0 while anything is under way, or a breaker may close.
 */
export function calmMs(snapshot: Snapshot, moments: readonly (number | null)[] = []): number {
  const { at, tasks, families, idleMs, lendAfterMs, breaker } = snapshot
  if (breaker !== null || tasks.some(({ running }) => running.length > 0)) return 0
  const coming = [
    dayEnd(at),
    ...moments,
    ...tasks.map(({ notBefore }) => notBefore),
    ...families.map(({ closedUntil }) => closedUntil),
    ...roles.map((role) => at + lendAfterMs - idleMs[role]),
  ]
  return Math.min(...coming.flatMap((moment) => (moment !== null && moment > at ? [moment - at] : [])))
}
