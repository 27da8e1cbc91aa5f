/** What a provider's rate-limit headers say that an account may do in a minute, and how many agents at once that feeds. */
import type { Family } from './family.ts'

/** Per minute; null: not said. */
export type RateLimits = { requests: number | null; inputTokens: number | null; outputTokens: number | null }

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Null where the headers say nothing, as Google's never do. */
export function rateLimitsIn(headers: Headers): RateLimits | null {
  const read = (...names: string[]): number | null => {
    const text = names.map((name) => headers[name]).find((value) => typeof value === 'string')
    const value = Number(text ?? Number.NaN)
    return Number.isFinite(value) && value > 0 ? value : null
  }
  const limits = {
    requests: read('anthropic-ratelimit-requests-limit', 'x-ratelimit-limit-requests'),
    inputTokens: read('anthropic-ratelimit-input-tokens-limit', 'x-ratelimit-limit-tokens'),
    outputTokens: read('anthropic-ratelimit-output-tokens-limit'),
  }
  return Object.values(limits).every((each) => each === null) ? null : limits
}

/**
 * What one busy agent asks in a minute, taken high: 10 requests, a context of up to 190,000 tokens of which 93 % come from the cache, answers of some
 * hundred tokens (facts, budget §3.1). Anthropic does not count what its cache gives; OpenAI does.
 */
const agentNeeds = (family: Family): Record<keyof RateLimits, number> => ({
  requests: 10,
  inputTokens: family === 'anthropic' ? 80_000 : 600_000,
  outputTokens: 8_000,
})

/** How many agents at once the limits feed; 0 where not even one. */
export function slotsFor(family: Family, limits: RateLimits): number {
  const needs = agentNeeds(family)
  const names = ['requests', 'inputTokens', 'outputTokens'] as const
  return Math.min(...names.map((name) => (limits[name] === null ? Infinity : Math.floor(limits[name] / needs[name]))))
}

/** Anthropic's tiers by requests a minute, as its documentation lists them. Others name none that could be read off. */
const tiers: readonly (readonly [requests: number, tier: string])[] = [
  [4000, 'tier 4'],
  [2000, 'tier 3'],
  [1000, 'tier 2'],
  [0, 'tier 1'],
]

/** The limits in words: `4,000 requests, 2,000,000 input tokens a minute (tier 4)`. */
export function showLimits(family: Family, limits: RateLimits): string {
  const said = [
    [limits.requests, 'requests'],
    [limits.inputTokens, family === 'anthropic' ? 'input tokens' : 'tokens'],
    [limits.outputTokens, 'output tokens'],
  ] as const
  const parts = said.flatMap(([value, word]) => (value === null ? [] : [`${value.toLocaleString('en-US')} ${word}`]))
  const tier =
    family === 'anthropic' && limits.requests !== null ? tiers.find(([least]) => limits.requests! >= least) : undefined
  return `${parts.join(', ')} a minute${tier ? ` (${tier[1]})` : ''}`
}
