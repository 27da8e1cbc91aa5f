import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durationMs, levelsIn, signalIn } from './rate-signal.ts'

const at = 1_795_521_600_000 // 2026-11-24T12:00:00Z

test('what is left is read from the headers of each vendor', () => {
  const anthropic = levelsIn(
    {
      'anthropic-ratelimit-requests-limit': '50',
      'anthropic-ratelimit-requests-remaining': '49',
      'anthropic-ratelimit-requests-reset': '2026-11-24T12:00:01Z',
      'anthropic-ratelimit-input-tokens-limit': '30000',
      'anthropic-ratelimit-input-tokens-remaining': '12000',
      'anthropic-ratelimit-input-tokens-reset': '2026-11-24T12:00:36.5Z',
    },
    at,
  )
  assert.deepEqual(anthropic, {
    requests: { limit: 50, remaining: 49, resetAt: at + 1000 },
    input: { limit: 30_000, remaining: 12_000, resetAt: at + 36_500 },
  })
  const openai = levelsIn(
    {
      'x-ratelimit-limit-requests': '500',
      'x-ratelimit-remaining-requests': '499',
      'x-ratelimit-reset-requests': '120ms',
      'x-ratelimit-limit-tokens': '200000',
      'x-ratelimit-remaining-tokens': '150000',
      'x-ratelimit-reset-tokens': '6m0s',
    },
    at,
  )
  assert.deepEqual(openai, {
    requests: { limit: 500, remaining: 499, resetAt: at + 120 },
    tokens: { limit: 200_000, remaining: 150_000, resetAt: at + 360_000 },
  })
  assert.deepEqual(levelsIn({}, at), {})
})

test('headers that cannot be are taken as not said', () => {
  const level = (limit: string, remaining: string, reset: string) =>
    levelsIn(
      {
        'x-ratelimit-limit-tokens': limit,
        'x-ratelimit-remaining-tokens': remaining,
        'x-ratelimit-reset-tokens': reset,
      },
      at,
    )
  for (const [limit, remaining] of [
    ['0', '0'],
    ['-5', '3'],
    ['many', '3'],
    ['10', 'NaN'],
    ['10', '-1'],
    ['1e99', '1'],
  ] as const)
    assert.deepEqual(level(limit, remaining, '1s'), {}, `${limit} ${remaining}`)
  for (const reset of ['-1s', '', 'soon', '99999d', '1s1'])
    assert.deepEqual(level('10', '30', reset), { tokens: { limit: 10, remaining: 10, resetAt: at + 60_000 } }, reset)
})

test('a duration is read as the vendors write it', () => {
  const all = ['1s', '6m0s', '250ms', '1h2m3.5s', '0s', '7.66s'].map(durationMs)
  assert.deepEqual(all, [1000, 360_000, 250, 3_723_500, 0, 7660])
  assert.deepEqual(['', '5', 's', '1 s', '-1s', '1s;2'].map(durationMs), [null, null, null, null, null, null])
})

test('a refusal for a limit names its delay, wherever the vendor hides it', () => {
  const limited = (delayMs: number | null) => ({ kind: 'limited', delayMs })
  const exhausted = (delayMs: number | null) => ({ kind: 'exhausted', delayMs })
  const google = (delay: string, quota: string) =>
    JSON.stringify({ error: { details: [{ quotaId: quota }, { retryDelay: delay }] } })
  const cases: [Parameters<typeof signalIn>[0], Record<string, string>, string, unknown][] = [
    ['anthropic', { 'retry-after': '12' }, '', limited(12_000)],
    ['anthropic', { 'retry-after': 'Tue, 24 Nov 2026 12:00:30 GMT' }, '', limited(30_000)],
    ['openai', { 'retry-after-ms': '812', 'retry-after': '1' }, '', limited(812)],
    ['openai', {}, 'Rate limit reached. Please try again in 6.2s.', limited(6200)],
    ['google', {}, google('34.07s', 'GenerateRequestsPerMinutePerProject'), limited(34_070)],
    ['anthropic', {}, '', limited(null)],
    ['anthropic', { 'retry-after': '-7' }, '', limited(null)],
    ['anthropic', { 'retry-after': '1e12' }, '', limited(null)],
    ['anthropic', { 'retry-after': '99999999999' }, '', limited(null)],
    ['anthropic', { 'retry-after': '3600' }, '', exhausted(3_600_000)],
    ['google', {}, google('20s', 'GenerateRequestsPerDayPerProject'), exhausted(20_000)],
    ['openai', {}, '{"error":{"type":"insufficient_quota"}}', exhausted(null)],
    ['openai', {}, '{"error":{"type":"usage_limit_reached","resets_in_seconds":7200}}', exhausted(7_200_000)],
    [
      'anthropic',
      {
        'anthropic-ratelimit-unified-status': 'rejected',
        'anthropic-ratelimit-unified-reset': String(at / 1000 + 900),
        'retry-after': '5',
      },
      '',
      exhausted(900_000),
    ],
  ]
  for (const [family, headers, body, expected] of cases)
    assert.deepEqual(signalIn(family, 429, headers, body, at), expected, JSON.stringify([headers, body]))
})

test('what is not about limits is told apart from what is', () => {
  const kind = (family: string, status: number, body = '') => signalIn(family, status, {}, body, at).kind
  assert.equal(kind('anthropic', 200), 'fine')
  assert.equal(kind('anthropic', 400), 'fine')
  assert.equal(kind('anthropic', 500), 'fine')
  assert.equal(kind('anthropic', 529), 'overloaded')
  assert.equal(kind('google', 503), 'overloaded')
  assert.equal(kind('openai', 401), 'key-refused')
  assert.equal(kind('google', 403, 'Your API key was reported as leaked.'), 'key-refused')
  assert.equal(kind('anthropic', 403, 'your key may not use this model'), 'fine')
})
