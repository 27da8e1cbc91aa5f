import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Outcome } from './outcome.ts'
import { explainReason, explainRefusal, meanings, reasonOf, type Meaning } from './vendor-refusal.ts'

const anthropic = (type: string, message: string) => JSON.stringify({ type: 'error', error: { type, message } })
const openai = (code: string | null, message: string, type = 'invalid_request_error') =>
  JSON.stringify({ error: { message, type, param: null, code } })
const google = (code: number, status: string, message: string, details: object[] = []) =>
  JSON.stringify({ error: { code, message, status, details } })
const info = (reason: string) => ({ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason })

/** Bodies as the vendors send them: family, status, body, and what it means. */
const bodies: readonly (readonly [family: string, status: number | null, body: string, means: Meaning])[] = [
  ['anthropic', 401, anthropic('authentication_error', 'invalid x-api-key'), 'key-invalid'],
  [
    'anthropic',
    401,
    anthropic('authentication_error', 'OAuth authentication is currently not supported.'),
    'key-login',
  ],
  [
    'anthropic',
    400,
    anthropic('invalid_request_error', 'Your credit balance is too low to access the Anthropic API.'),
    'no-credit',
  ],
  ['anthropic', 402, anthropic('billing_error', 'Payment required'), 'no-credit'],
  [
    'anthropic',
    400,
    anthropic(
      'invalid_request_error',
      'You have reached your specified API usage limits. You will regain access on 2026-12-01.',
    ),
    'spend-limit',
  ],
  ['anthropic', 403, anthropic('permission_error', 'Your API key does not have permission'), 'key-not-allowed'],
  ['anthropic', 404, anthropic('not_found_error', 'model: claude-opus-9'), 'model-unknown'],
  [
    'anthropic',
    429,
    anthropic('rate_limit_error', 'This request would exceed the rate limit for your organization'),
    'rate-limited',
  ],
  ['anthropic', 529, anthropic('overloaded_error', 'Overloaded'), 'overloaded'],
  ['anthropic', 413, anthropic('request_too_large', 'Request exceeds the maximum size'), 'too-large'],
  [
    'anthropic',
    400,
    anthropic('invalid_request_error', 'prompt is too long: 250000 tokens > 200000 maximum'),
    'too-large',
  ],
  [
    'anthropic',
    400,
    anthropic('invalid_request_error', 'thinking.budget_tokens: Input should be greater'),
    'request-unfit',
  ],
  ['openai', 401, openai('invalid_api_key', 'Incorrect API key provided: sk-ab***yz.'), 'key-invalid'],
  [
    'openai',
    429,
    openai(
      'insufficient_quota',
      'You exceeded your current quota, please check your plan and billing details.',
      'insufficient_quota',
    ),
    'no-credit',
  ],
  ['openai', 429, openai('project_spend_limit_exceeded', 'Project spend limit exceeded.'), 'spend-limit'],
  [
    'openai',
    404,
    openai('model_not_found', 'The model `gpt-9` does not exist or you do not have access to it.'),
    'model-unknown',
  ],
  ['openai', 400, openai('model_not_found', "The requested model 'gpt-9' does not exist."), 'model-unknown'],
  [
    'openai',
    403,
    openai('model_not_found', 'Project `proj_1` does not have access to model `gpt-6-sol`'),
    'model-not-allowed',
  ],
  [
    'openai',
    403,
    openai('unsupported_country_region_territory', 'Country, region, or territory not supported'),
    'region',
  ],
  [
    'openai',
    429,
    openai('rate_limit_exceeded', 'Rate limit reached for gpt-6-sol in organization org-1 on tokens per min (TPM)'),
    'rate-limited',
  ],
  [
    'openai',
    400,
    openai('context_length_exceeded', "This model's maximum context length is 272000 tokens."),
    'too-large',
  ],
  [
    'openai',
    503,
    openai(null, 'The engine is currently overloaded, please try again later', 'server_error'),
    'overloaded',
  ],
  [
    'google',
    400,
    google(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [info('API_KEY_INVALID')]),
    'key-invalid',
  ],
  [
    'google',
    400,
    google(400, 'INVALID_ARGUMENT', 'API key expired. Please renew the API key.', [info('API_KEY_INVALID')]),
    'key-invalid',
  ],
  [
    'google',
    403,
    google(403, 'PERMISSION_DENIED', 'Your API key was reported as leaked. Please use another API key.'),
    'key-not-allowed',
  ],
  [
    'google',
    403,
    google(
      403,
      'PERMISSION_DENIED',
      'Generative Language API has not been used in project 1 before or it is disabled.',
      [info('SERVICE_DISABLED')],
    ),
    'service-off',
  ],
  [
    'google',
    403,
    google(403, 'PERMISSION_DENIED', 'Requests to this API are blocked.', [info('API_KEY_SERVICE_BLOCKED')]),
    'service-off',
  ],
  ['google', 400, google(400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.'), 'region'],
  ['google', 404, google(404, 'NOT_FOUND', 'models/gemini-9 is not found for API version v1beta'), 'model-unknown'],
  [
    'google',
    429,
    google(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded', [
      { violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel' }] },
    ]),
    'quota-day',
  ],
  [
    'google',
    429,
    google(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded', [
      { violations: [{ quotaId: 'GenerateRequestsPerMinutePerProject' }] },
    ]),
    'rate-limited',
  ],
  ['google', 503, google(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'), 'overloaded'],
  ['google', 500, google(500, 'INTERNAL', 'An internal error has occurred.'), 'overloaded'],
  ['mistral', 401, '{"message":"Unauthorized"}', 'key-invalid'],
  ['mistral', 422, '{"detail":[]}', 'request-unfit'],
  ['mistral', 429, '', 'rate-limited'],
  // nobody of the vendors: what stands between
  ['anthropic', 407, 'Proxy Authentication Required', 'proxy'],
  ['openai', 403, '<!DOCTYPE html><html><title>Blocked by policy</title></html>', 'proxy'],
  ['google', 502, '<html><body>Bad gateway</body></html>', 'proxy'],
  ['openai', null, 'the proxy proxy.example.com:3128 answered 403 for api.openai.com:443', 'proxy'],
  ['anthropic', null, 'SELF_SIGNED_CERT_IN_CHAIN', 'certificate'],
  ['anthropic', null, 'getaddrinfo ENOTFOUND api.example.com', 'no-such-host'],
  ['openai', null, 'connect ECONNREFUSED 127.0.0.1:1', 'unreachable'],
]

test("every vendor's no is understood", () => {
  const understood = bodies.map(([family, status, text, means]) => [
    text,
    explainRefusal({ family, status, text })?.means,
    means,
  ])
  assert.deepEqual(
    understood.filter(([, found, means]) => found !== means),
    [],
  )
})

test('every explanation says what happened, why, and what to do; never what the provider said', () => {
  for (const [family, status, text] of bodies) {
    const { what, why, next } = explainRefusal({ family, status, text }, 'the-model')!
    for (const sentence of [what, why, next]) assert.ok(sentence.length > 8, sentence)
    assert.doesNotMatch(what + why + next, /sk-ab|org-1|proj_1|undefined/)
  }
})

test('a reason the gateway recorded is understood again, with what to do about it', () => {
  for (const [family, status, text, means] of bodies) {
    const outcome: Outcome =
      status === 429 ? 'rate-limited' : status === null || status >= 500 ? 'unreachable' : 'refused'
    const told = explainReason(family, outcome, reasonOf({ family, status, text }))
    // several rows share one sentence, and then one thing to do
    assert.equal(told?.what, explainRefusal({ family, status, text })?.what, means)
  }
})

/** What the recorded real clients said at their end; those with a word of a provider or of the gateway in it. */
const recorded: Readonly<Record<string, Meaning | null>> = {
  'claude/400-budget': 'over-budget',
  'claude/402-budget': 'over-budget',
  'claude/403': 'over-budget',
  'claude/429-no-retry-header': 'over-budget',
  'claude/429-retry-after-3600': 'rate-limited',
  'claude/max-budget': 'over-budget',
  'claude/not-logged-in': 'key-login',
  'codex/400-budget': 'over-budget',
  'codex/401': 'key-invalid',
  'codex/402': 'over-budget',
  'codex/429-insufficient-quota': 'no-credit',
  'codex/429-no-retry-after': 'rate-limited',
  'codex/529-forever': 'overloaded',
  'codex/usage-limit-reached': 'key-login',
  'gemini/400': 'over-budget',
  'gemini/401': 'key-invalid',
  'gemini/402-budget': 'over-budget',
  'gemini/403-budget': 'over-budget',
  'gemini/429-perday': 'quota-day',
  'gemini/cut-midstream': null,
  'opencode/401': 'key-invalid',
  'opencode/402-budget': 'over-budget',
}

test('what the real clients were recorded to say is understood; how agents end otherwise is no matter of providers', () => {
  const fixtures = join(import.meta.dirname, '../../test/fixtures/clients')
  const families: Record<string, string> = {
    claude: 'anthropic',
    codex: 'openai',
    gemini: 'google',
    opencode: 'anthropic',
  }
  const seen: Record<string, Meaning | null> = {}
  for (const client of readdirSync(fixtures))
    for (const name of readdirSync(join(fixtures, client))) {
      const end = JSON.parse(readFileSync(join(fixtures, client, name, 'end.json'), 'utf8')) as {
        outcome: Outcome
        reason: string
      }
      const told = explainReason(families[client]!, end.outcome, end.reason)
      if (['refused', 'rate-limited', 'unreachable', 'over-budget'].includes(end.outcome))
        seen[`${client}/${name}`] = told?.means ?? null
      else assert.equal(told, null, name)
    }
  assert.deepEqual(seen, recorded)
})

test('a provider that was not reached is explained by the code of the system', () => {
  const told = [
    'ENOTFOUND',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'ECONNREFUSED',
    'the proxy p:1 answered 407 for q:443',
    'ERR_PROXY_TUNNEL',
  ].map((code) => explainReason('openai', 'unreachable', `the provider could not be reached: ${code}`)?.means)
  assert.deepEqual(told, ['no-such-host', 'certificate', 'unreachable', 'proxy', 'proxy'])
  for (const code of ['ERR_PROXY_TUNNEL 407', 'the proxy p:1 answered 407 for q:443'])
    assert.match(
      explainReason('openai', 'unreachable', `the provider could not be reached: ${code}`)!.what,
      /wants a login/,
    )
})

test('an answer nothing is known about is not explained', () => {
  assert.equal(explainRefusal({ family: 'anthropic', status: 418, text: '{}' }), null)
  assert.equal(explainReason('anthropic', 'failed', 'HTTP 401 in a test'), null)
  assert.equal(new Set(meanings).size, meanings.length)
})
