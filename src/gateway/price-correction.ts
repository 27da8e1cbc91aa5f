/**
 * Our own corrections of the bundled price table, with the day on which they were looked up: models it lacks or has wrongly. They win over the table; the
 * operator's file wins over them.
 */
import type { PriceEntry } from './prices.ts'

/** The day the bundled prices were last looked up: the release of the pinned package. */
export const bundledAsOf = '2026-09-23'

export const corrections: { asOf: string; models: Readonly<Record<string, PriceEntry>> } = {
  asOf: '2026-11-23',
  models: {
    // several public tables agree
    'claude-opus-5-5': {
      input: 4,
      output: 20,
      cachedInput: 0.2,
      cacheWrite: 5,
      cacheWriteHour: 8,
      webSearches: 10,
      context: 1_000_000,
    },
  },
}
