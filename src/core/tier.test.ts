import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rateLimitsIn, showLimits, slotsFor } from './tier.ts'

const anthropic = (requests: string, input: string, output: string) => ({
  'anthropic-ratelimit-requests-limit': requests,
  'anthropic-ratelimit-input-tokens-limit': input,
  'anthropic-ratelimit-output-tokens-limit': output,
})

test("limits are read from either vendor's headers, and silence is silence", () => {
  assert.deepEqual(rateLimitsIn(anthropic('50', '30000', '8000')), {
    requests: 50,
    inputTokens: 30_000,
    outputTokens: 8000,
  })
  assert.deepEqual(rateLimitsIn({ 'x-ratelimit-limit-requests': '500', 'x-ratelimit-limit-tokens': '500000' }), {
    requests: 500,
    inputTokens: 500_000,
    outputTokens: null,
  })
  assert.deepEqual([rateLimitsIn({}), rateLimitsIn({ 'x-ratelimit-limit-requests': 'many' })], [null, null])
})

test('the scarcest limit decides how many agents fit, down to none', () => {
  const slots = (family: string, requests: number | null, inputTokens: number | null, outputTokens: number | null) =>
    slotsFor(family, { requests, inputTokens, outputTokens })
  assert.deepEqual(
    [
      slots('anthropic', 4000, 2_000_000, 400_000),
      slots('anthropic', 50, 30_000, 8000),
      slots('anthropic', 30, null, null),
      slots('openai', 500, 2_000_000, null),
    ],
    [25, 0, 3, 3],
  )
})

test('limits are said in words, with the tier where it can be told', () => {
  const said = ['50', '999', '1000', '2000', '4000'].map((requests) =>
    showLimits('anthropic', rateLimitsIn(anthropic(requests, '1000000', '1'))!),
  )
  assert.deepEqual(
    said.map((each) => /\((.*)\)/.exec(each)![1]),
    ['tier 1', 'tier 1', 'tier 2', 'tier 3', 'tier 4'],
  )
  assert.equal(
    showLimits('openai', { requests: 500, inputTokens: 500_000, outputTokens: null }),
    '500 requests, 500,000 tokens a minute',
  )
})
