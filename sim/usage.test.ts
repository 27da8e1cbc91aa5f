import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deriveTokens, duration, emptyWindow, limitHeaders, rfc3339, spend } from './usage.ts'

const sizes = { requestBytes: 40_000, replyBytes: 400, toolResults: 0, family: 'openai' }

test('a first request is paid in full, a later one finds three quarters cached, in whole blocks', () => {
  assert.deepEqual(deriveTokens(sizes), { input: 10_000, cachedInput: 0, cacheWrite: 0, output: 150, thinking: 50 })
  assert.deepEqual(deriveTokens({ ...sizes, toolResults: 1 }), {
    input: 2_576,
    cachedInput: 7_424,
    cacheWrite: 0,
    output: 150,
    thinking: 50,
  })
})

test('only Anthropic bills what it writes to the cache, and the parts always add up to the whole', () => {
  for (const requestBytes of [0, 3, 511, 4_097, 123_456]) {
    for (const toolResults of [0, 4]) {
      for (const family of ['anthropic', 'openai', 'google']) {
        const tokens = deriveTokens({ requestBytes, replyBytes: 9, toolResults, family })
        assert.equal(tokens.input + tokens.cachedInput + tokens.cacheWrite, Math.ceil(requestBytes / 4))
        assert.ok(tokens.input >= 0 && tokens.output > tokens.thinking)
        assert.equal(tokens.cacheWrite > 0, family === 'anthropic' && requestBytes > 4_000)
      }
    }
  }
})

test('what the scenario gives stands; an output given alone contains no thinking', () => {
  assert.deepEqual(deriveTokens(sizes, { input: 7, output: 9 }), {
    input: 7,
    cachedInput: 0,
    cacheWrite: 0,
    output: 9,
    thinking: 0,
  })
  assert.deepEqual(deriveTokens(sizes, { thinking: 40 }), {
    input: 10_000,
    cachedInput: 0,
    cacheWrite: 0,
    output: 140,
    thinking: 40,
  })
})

test('limits shrink with every reply and are whole again after a minute; reading a cache costs none', () => {
  const now = 1_767_225_600_000
  const tokens = { input: 100, cachedInput: 5_000, cacheWrite: 20, output: 30, thinking: 10 }
  const twice = spend(spend(emptyWindow(now), now, tokens), now + 59_999, tokens)
  assert.deepEqual(twice, { startedAt: now, requests: 2, input: 240, output: 60 })
  assert.deepEqual(spend(twice, now + 60_000, tokens), { startedAt: now + 60_000, requests: 1, input: 120, output: 30 })
})

test('each vendor writes its limits its own way, and Google none', () => {
  const now = 1_767_225_600_000
  const window = { startedAt: now, requests: 2, input: 240, output: 60 }
  assert.deepEqual(limitHeaders('anthropic', window, now + 1_000), {
    'anthropic-ratelimit-requests-limit': '4000',
    'anthropic-ratelimit-requests-remaining': '3998',
    'anthropic-ratelimit-requests-reset': '2026-01-01T00:01:00Z',
    'anthropic-ratelimit-input-tokens-limit': '2000000',
    'anthropic-ratelimit-input-tokens-remaining': '1999760',
    'anthropic-ratelimit-input-tokens-reset': '2026-01-01T00:01:00Z',
    'anthropic-ratelimit-output-tokens-limit': '400000',
    'anthropic-ratelimit-output-tokens-remaining': '399940',
    'anthropic-ratelimit-output-tokens-reset': '2026-01-01T00:01:00Z',
    'anthropic-ratelimit-tokens-limit': '2400000',
    'anthropic-ratelimit-tokens-remaining': '2399700',
    'anthropic-ratelimit-tokens-reset': '2026-01-01T00:01:00Z',
  })
  assert.deepEqual(limitHeaders('openai', window, now + 1_000), {
    'x-ratelimit-limit-requests': '4000',
    'x-ratelimit-remaining-requests': '3998',
    'x-ratelimit-reset-requests': '59s',
    'x-ratelimit-limit-tokens': '2000000',
    'x-ratelimit-remaining-tokens': '1999760',
    'x-ratelimit-reset-tokens': '59s',
  })
  assert.deepEqual(limitHeaders('google', window, now), {})
})

test('moments and durations are written as the vendors write them', () => {
  assert.deepEqual([120, 1_000, 59_400, 360_000].map(duration), ['120ms', '1s', '59s', '6m0s'])
  const known: readonly (readonly [number, string])[] = [
    [0, '1970-01-01T00:00:00Z'],
    [951_782_399_001, '2000-02-29T00:00:00Z'],
    [1_709_251_199_000, '2024-02-29T23:59:59Z'],
    [1_798_761_599_500, '2027-01-01T00:00:00Z'],
    [4_107_542_400_000, '2100-03-01T00:00:00Z'],
  ]
  assert.deepEqual(
    known.map(([ms]) => rfc3339(ms)),
    known.map(([, text]) => text),
  )
})
