/**
 * What a loopback reply costs in tokens, and the limits its headers speak of. Derived from sizes, so that the same bytes cost the same.
 */
import type { Json, Tokens } from './dialect/dialect.ts'

/** Tokens of so many bytes: four bytes each, the rule of thumb every vendor publishes. */
export const tokensOf = (bytes: number): number => Math.ceil(bytes / 4)

const cacheBlock = 128 // vendors cache whole blocks of this many tokens

/**
 * Tokens of one reply. A conversation that goes on finds three quarters of its input cached; only Anthropic bills writing to the cache.
 * Half as much again as the visible output is thought.
 */
export function deriveTokens(
  sizes: { requestBytes: number; replyBytes: number; toolResults: number; family: string },
  given: Partial<Tokens> = {},
): Tokens {
  const whole = tokensOf(sizes.requestBytes)
  const cachedInput = sizes.toolResults === 0 ? 0 : blocks(whole * 0.75)
  const cacheWrite = sizes.family === 'anthropic' ? blocks((whole - cachedInput) / 2) : 0
  const visible = Math.max(1, tokensOf(sizes.replyBytes))
  const thinking = given.thinking ?? (given.output === undefined ? Math.ceil(visible / 2) : 0)
  const derived = {
    input: whole - cachedInput - cacheWrite,
    cachedInput,
    cacheWrite,
    output: visible + thinking,
    thinking,
  }
  return { ...derived, ...given, thinking }
}

const blocks = (tokens: number): number => Math.floor(tokens / cacheBlock) * cacheBlock

/** What a provider allows per minute. Told in headers, never enforced: refusing is what faults are for. */
export const limits = { requests: 4_000, inputTokens: 2_000_000, outputTokens: 400_000 }

const windowMs = 60_000

export type Window = { startedAt: number; requests: number; input: number; output: number }

export const emptyWindow = (now: number): Window => ({ startedAt: now, requests: 0, input: 0, output: 0 })

/** The window after one more reply; a window older than a minute begins again. */
export function spend(window: Window, now: number, tokens: Tokens): Window {
  const current = now - window.startedAt >= windowMs ? emptyWindow(now) : window
  return {
    startedAt: current.startedAt,
    requests: current.requests + 1,
    input: current.input + tokens.input + tokens.cacheWrite,
    output: current.output + tokens.output,
  }
}

/** Rate-limit headers as each vendor writes them. Google sends none. */
export function limitHeaders(family: string, window: Window, now: number): Record<string, string> {
  const left = {
    requests: Math.max(0, limits.requests - window.requests),
    input: Math.max(0, limits.inputTokens - window.input),
    output: Math.max(0, limits.outputTokens - window.output),
  }
  const endsAt = window.startedAt + windowMs
  if (family === 'anthropic') {
    const rows: readonly (readonly [string, number, number])[] = [
      ['requests', limits.requests, left.requests],
      ['input-tokens', limits.inputTokens, left.input],
      ['output-tokens', limits.outputTokens, left.output],
      ['tokens', limits.inputTokens + limits.outputTokens, left.input + left.output],
    ]
    return Object.fromEntries(
      rows.flatMap(([name, limit, remaining]) => [
        [`anthropic-ratelimit-${name}-limit`, String(limit)],
        [`anthropic-ratelimit-${name}-remaining`, String(remaining)],
        [`anthropic-ratelimit-${name}-reset`, rfc3339(endsAt)],
      ]),
    )
  }
  if (family !== 'openai') return {}
  const reset = duration(Math.max(0, endsAt - now))
  return {
    'x-ratelimit-limit-requests': String(limits.requests),
    'x-ratelimit-remaining-requests': String(left.requests),
    'x-ratelimit-reset-requests': reset,
    'x-ratelimit-limit-tokens': String(limits.inputTokens),
    'x-ratelimit-remaining-tokens': String(left.input),
    'x-ratelimit-reset-tokens': reset,
  }
}

/** `6m0s`, `1s`, `120ms`: how OpenAI writes a duration. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`
  const seconds = Math.round(ms / 1_000)
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`
}

/** A moment as `2026-01-31T12:00:00Z`, seconds rounded up. Written by hand: nothing here may touch the machine's calendar. */
export function rfc3339(epochMs: number): string {
  const seconds = Math.ceil(epochMs / 1_000)
  const days = Math.floor(seconds / 86_400)
  const rest = seconds - days * 86_400
  // Days to a civil date, counted from March so that the leap day ends a year (Howard Hinnant's algorithm).
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const two = (number: number) => String(number).padStart(2, '0')
  const time = [Math.floor(rest / 3_600), Math.floor((rest % 3_600) / 60), rest % 60].map(two).join(':')
  return `${year}-${two(month)}-${two(day)}T${time}Z`
}

/** The answer to a request that only counts: each vendor's own shape. */
export function countAnswer(kind: 'anthropic' | 'openai' | 'google', requestBytes: number): Json {
  const tokens = tokensOf(requestBytes)
  if (kind === 'anthropic') return { input_tokens: tokens }
  return kind === 'openai' ? { object: 'response.input_tokens', input_tokens: tokens } : { totalTokens: tokens }
}
