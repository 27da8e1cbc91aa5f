/** What a task may cost before anybody starts it: a range, from tasks like it that are done, else from prices and what such tasks usually take. Pure. */
import type { Size } from './task.ts'

/** Tokens of one whole task of a size: what is read anew, read from the cache, and written. Orders of magnitude, not promises. */
export const usualTokens: Readonly<Record<Size, { input: number; cachedInput: number; output: number }>> = {
  small: { input: 40_000, cachedInput: 400_000, output: 10_000 },
  medium: { input: 120_000, cachedInput: 1_500_000, output: 35_000 },
  large: { input: 300_000, cachedInput: 5_000_000, output: 100_000 },
}

/** So many done tasks of a size tell more than prices. */
export const leastHistory = 3

export type Estimate = { lowNanoUsd: number; highNanoUsd: number; from: 'history' | 'prices'; tasks: number }

/** The range: most of the done tasks of this size lie in it; without enough of them, half to three times what the usual tokens cost. */
export function estimate(history: readonly number[], usualNanoUsd: number): Estimate {
  const sorted = history.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
  return sorted.length >= leastHistory
    ? { lowNanoUsd: at(0.1), highNanoUsd: at(0.9), from: 'history', tasks: sorted.length }
    : {
        lowNanoUsd: Math.round(usualNanoUsd / 2),
        highNanoUsd: Math.round(usualNanoUsd * 3),
        from: 'prices',
        tasks: sorted.length,
      }
}
