/**
 * Quantities as people write them, and back: dollars, durations, sizes. Exact: dollars are read digit by digit, never through a float.
 *
 * A duration or a size without its unit is refused, because nobody can know what it meant.
 */

const nanoPerUsd = 1_000_000_000n

/** `$10`, `10`, `10.50` or the number 10.5 as nano-dollars; null where it is not an amount, negative, or finer than a nano-dollar. */
export function parseUsd(written: string | number): number | null {
  const match = /^\$?(\d{1,9})(?:\.(\d{1,9}))?$/.exec(String(written).trim())
  if (!match) return null
  const nano = BigInt(match[1]!) * nanoPerUsd + BigInt((match[2] ?? '').padEnd(9, '0'))
  return nano <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(nano) : null
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `500ms`, `90s`, `5m`, `1h30m`, `7d` as milliseconds; null where it is not a duration. */
export function parseDuration(written: string | number): number | null {
  const text = String(written).trim()
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d) ?)+$/.test(`${text} `)) return null
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * unitMs[unit!]!, 0)
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : null
}

const unitBytes: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }

/** `100KB`, `64MB`, `2GiB`, `512B` as bytes; a kilobyte is 1,024 of them. Null where it is not a size. */
export function parseSize(written: string | number): number | null {
  const match = /^(\d+(?:\.\d+)?) ?([kmg]?i?b)$/i.exec(String(written).trim())
  if (!match) return null
  const bytes = Math.round(Number(match[1]) * (unitBytes[match[2]!.toLowerCase().replace('i', '')] ?? Number.NaN))
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** Nano-dollars as a person writes them: `$10`, `$0.0042`; `parseUsd` reads it back unchanged. */
export function showUsd(nanoUsd: number): string {
  const amount = BigInt(Math.round(nanoUsd))
  const fraction = String(amount % nanoPerUsd)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `$${amount / nanoPerUsd}${fraction === '' ? '' : `.${fraction.padEnd(2, '0')}`}`
}

/** Milliseconds as the largest units that are exact: `90s`, `5m`, `1d`; `parseDuration` reads it back unchanged. */
export function showDuration(ms: number): string {
  const [unit, size] = largest(ms, unitMs)
  return `${ms / size}${unit}`
}

/** Bytes as the largest unit that is exact: `64MB`; `parseSize` reads it back unchanged. */
export function showSize(bytes: number): string {
  const [unit, size] = largest(bytes, unitBytes)
  return `${bytes / size}${unit.toUpperCase()}`
}

function largest(amount: number, units: Readonly<Record<string, number>>): [string, number] {
  const fitting = Object.entries(units).filter(([, size]) => amount !== 0 && amount % size === 0)
  return fitting.at(-1) ?? Object.entries(units)[0]!
}

/** `3 tasks`, `1 task`. */
export const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`
