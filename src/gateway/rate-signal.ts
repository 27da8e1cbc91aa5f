/**
 * What an answer says about a provider's limits: how much of each is left, and whether it was refused for one. The only place that knows the
 * vendors' rate-limit headers and the times hidden in their bodies (facts/budget.md §2).
 *
 *     status + headers + the beginning of the body ─▶ levels (what is left), signal (fine, limited, exhausted, overloaded, key refused)
 *
 * What a header says is the provider's word: numbers that cannot be are taken as not said.
 */
import { longDelayMs, type Counted, type Levels, type Signal } from '../core/cool-down.ts'
import type { Family } from '../core/family.ts'
import { parseStamp } from '../host/moment.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** A delay above this is not believed: nobody closes an account for longer and says when. */
const absurdMs = 31 * 86_400_000

const one = (headers: Headers, name: string): string | null => {
  const value = headers[name]
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null
}

const countOf = (text: string | null): number | null =>
  text !== null && /^\d{1,15}(?:\.\d+)?$/.test(text) ? Number(text) : null

/** `1s`, `6m0s`, `250ms`, `1h2m3.5s`, in milliseconds; null when it is no duration. */
export function durationMs(text: string): number | null {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) return null
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  const total = parts.reduce((sum, [, value, unit]) => sum + Number(value) * units[unit as keyof typeof units], 0)
  return believable(total)
}

const believable = (ms: number): number | null =>
  Number.isFinite(ms) && ms >= 0 && ms <= absurdMs ? Math.ceil(ms) : null

const anthropicNames = {
  requests: 'requests',
  tokens: 'tokens',
  input: 'input-tokens',
  output: 'output-tokens',
} as const

/** What is left, as far as the headers say. `at`: now, epoch milliseconds. */
export function levelsIn(headers: Headers, at: number): Levels {
  const levels: Levels = {}
  const put = (counted: Counted, limit: string | null, remaining: string | null, resetAt: number | null): void => {
    const [most, left] = [countOf(limit), countOf(remaining)]
    if (most === null || left === null || most === 0) return
    levels[counted] = { limit: most, remaining: Math.min(left, most), resetAt: resetAt ?? at + 60_000 }
  }
  for (const [counted, name] of Object.entries(anthropicNames)) {
    const said = (what: string): string | null => one(headers, `anthropic-ratelimit-${name}-${what}`)
    put(counted as Counted, said('limit'), said('remaining'), momentOf(said('reset'), at))
  }
  for (const counted of ['requests', 'tokens'] as const) {
    const said = (what: string): string | null => one(headers, `x-ratelimit-${what}-${counted}`)
    const reset = said('reset')
    const afterMs = reset === null ? null : durationMs(reset)
    put(counted, said('limit'), said('remaining'), afterMs === null ? null : at + afterMs)
  }
  return levels
}

/** Null where it is no moment, lies before now, or is beyond belief. */
function momentOf(text: string | null, at: number): number | null {
  const moment = text === null ? null : parseStamp(text)
  return moment === null || believable(moment - at) === null ? null : moment
}

/** What the answer says about limits. `body`: its beginning, for refusals. */
export function signalIn(family: Family, status: number, headers: Headers, body: string, at: number): Signal {
  if (status === 401) return { kind: 'key-refused' }
  if (status === 403) return isAboutTheKey(family, body) ? { kind: 'key-refused' } : { kind: 'fine' }
  if (status === 529 || status === 503) return { kind: 'overloaded', delayMs: retryAfter(headers, at) }
  if (status !== 429) return { kind: 'fine' }
  const reset = unifiedReset(headers, at)
  const delayMs = reset ?? retryAfter(headers, at) ?? delayInBody(body)
  const isLong =
    one(headers, 'anthropic-ratelimit-unified-status') === 'rejected' ||
    /insufficient_quota|usage_limit_reached|QUOTA_EXHAUSTED|PerDay|credit balance is too low/.test(body) ||
    (delayMs ?? 0) > longDelayMs
  return { kind: isLong ? 'exhausted' : 'limited', delayMs }
}

/** A 403 is about the key where the provider says so; else it may be about one model or one request. */
const isAboutTheKey = (family: Family, body: string): boolean =>
  family === 'google'
    ? /reported as leaked|API_KEY_(?:SERVICE_BLOCKED|INVALID)|SERVICE_DISABLED/.test(body)
    : /authentication_error|invalid_api_key|account_deactivated|organization has been disabled/i.test(body)

/** A plan's window (five hours, seven days) says when it opens again, in epoch seconds. */
function unifiedReset(headers: Headers, at: number): number | null {
  if (one(headers, 'anthropic-ratelimit-unified-status') !== 'rejected') return null
  const seconds = countOf(one(headers, 'anthropic-ratelimit-unified-reset'))
  return seconds === null ? null : believable(seconds * 1000 - at)
}

function retryAfter(headers: Headers, at: number): number | null {
  const precise = countOf(one(headers, 'retry-after-ms'))
  if (precise !== null) return believable(precise)
  const text = one(headers, 'retry-after')
  if (text === null) return null
  const seconds = countOf(text)
  if (seconds !== null) return believable(seconds * 1000)
  const moment = parseStamp(text)
  return moment === null ? null : believable(moment - at)
}

function delayInBody(body: string): number | null {
  const google = /"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"/.exec(body)?.[1]
  if (google !== undefined) return believable(Number(google) * 1000)
  const plan = /"resets_in_seconds"\s*:\s*(\d+)/.exec(body)?.[1]
  if (plan !== undefined) return believable(Number(plan) * 1000)
  const words = /try again in ((?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+)/.exec(body)?.[1]
  return words === undefined ? null : durationMs(words)
}
