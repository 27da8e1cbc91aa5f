/** doctor --live: the loopback provider in the vendors' place, in good order and with each fault a person meets, and the sentence that helps. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { startProvider, type Provider } from '../../sim/provider.ts'
import type { WireFault } from '../../sim/wire-fault.ts'
import type { Check } from '../../src/core/check.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { examineLive } from '../../src/daemon/check-live.ts'
import { loadConfig } from '../../src/host/config.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const realKey = 'live-canary-0123456789'
const scripted = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
const models = { anthropic: 'claude-opus-5-5', openai: 'gpt-6-sol', google: 'gemini-3.8-flash' }

async function settle(ada: Person, url: string, named: Readonly<Record<string, string>>, rest = ''): Promise<void> {
  const lines = Object.entries(named).map(
    ([name, model]) =>
      `  ${name}: { agent: scripted, program: ${scripted}, baseUrl: "${url}", keyFrom: { value: ${realKey} }, models: ${model} }\n`,
  )
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  await writeFile(ada.paths.configFile, `rung: group\nhttp: { port: 0 }\n${rest}families:\n${lines.join('')}`, {
    mode: 0o600,
  })
}

async function live(ada: Person, env: Record<string, string> = {}): Promise<{ checks: Check[]; code: number | null }> {
  const { code, stdout, stderr } = await ada.type(['doctor', '--live', '--json'], { env })
  assert.ok(!(stdout + stderr).includes('canary'), 'no key is shown')
  const { checks } = JSON.parse(stdout) as { checks: Check[] }
  return { checks: checks.filter(({ name }) => name.startsWith('live ')), code }
}

const provider = (faults: readonly WireFault[] = []): Promise<Provider> =>
  startProvider({ world, scenario: { rules: [] }, faults, keys: [realKey], keepBodies: true })

test('each model is asked for one token in its own dialect, and its limits and cost are said', async () => {
  await using ada = await person(built.program)
  await using real = await provider()
  await settle(ada, real.url, models, 'slots: { implementer: 1 }\n')
  const { checks } = await live(ada)
  assert.deepEqual(
    checks.map(({ name, state, mend }) => [name, state, mend]),
    [
      ['live anthropic', 'ok', null],
      ['live openai', 'ok', null],
      ['live google', 'ok', null],
    ],
  )
  assert.match(
    checks[0]!.found,
    /^claude-opus-5-5 answered in \d+\.\d s, cost \$0\.\d+; 4,000 requests, 2,000,000 input tokens, 400,000 output tokens a minute \(tier 4\): feeds 25 agents at once$/,
  )
  assert.match(checks[1]!.found, /4,000 requests, 2,000,000 tokens a minute: feeds 3 agents at once$/)
  assert.match(checks[2]!.found, /it does not say its limits$/)
  for (const { found } of checks) assert.ok(Number(/cost \$([\d.]+)/.exec(found)![1]) < 0.01, found)
  assert.deepEqual(
    real.requests.map(({ path, key }) => [path, key]).toSorted(([a], [b]) => (a! < b! ? -1 : 1)),
    [
      ['/v1/messages', realKey],
      ['/v1/responses', realKey],
      ['/v1beta/models/gemini-3.8-flash:generateContent', realKey],
    ],
    'one request each, with the real key, which the gateway alone puts in',
  )
  const bodies = Object.fromEntries(
    real.requests.map(({ path, body }) => [path, JSON.parse(body!) as Record<string, unknown>]),
  )
  assert.deepEqual(
    [
      bodies['/v1/messages']!['max_tokens'],
      bodies['/v1/responses']!['max_output_tokens'],
      bodies['/v1beta/models/gemini-3.8-flash:generateContent']!['generationConfig'],
    ],
    [1, 16, { maxOutputTokens: 1 }],
  )
})

const error = (type: string, message: string) => ({ type: 'error', error: { type, message } })

/** What goes wrong, and what a person reads: state, what happened, what to type. */
const faults: readonly (readonly [what: string, fault: WireFault, state: string, found: RegExp, mend: RegExp])[] = [
  [
    'invalid key',
    { status: 401, body: error('authentication_error', 'invalid x-api-key') },
    'missing',
    /does not know this key \(it answered 401\)/,
    /^tri-agent keys set anthropic/,
  ],
  [
    'no credit',
    {
      status: 400,
      body: error('invalid_request_error', 'Your credit balance is too low to access the Anthropic API.'),
    },
    'missing',
    /no credit left \(it answered 400\)/,
    /^top it up .*, then: tri-agent doctor --live$/,
  ],
  [
    'unknown model',
    { status: 404, body: error('not_found_error', 'model: claude-opus-5-5') },
    'missing',
    /^claude-opus-5-5: the provider does not know this model/,
    /^correct families\.anthropic\.models \(now claude-opus-5-5\)/,
  ],
  [
    'a proxy that wants a login',
    { status: 407, body: 'Proxy Authentication Required' },
    'missing',
    /a proxy .* wants a login/,
    /HTTPS_PROXY/,
  ],
  [
    "a firewall's page",
    { status: 403, body: '<!DOCTYPE html><title>Blocked</title>' },
    'missing',
    /something between here and the provider answered in its place/,
    /HTTPS_PROXY/,
  ],
  ['reset', { action: 'reset' }, 'missing', /could not be reached/, /baseUrl/],
  [
    'overloaded',
    { status: 529, body: error('overloaded_error', 'Overloaded') },
    'warning',
    /the provider is overloaded/,
    /by itself/,
  ],
  [
    'rate limit',
    { status: 429, body: error('rate_limit_error', 'too fast') },
    'warning',
    /rate limit is reached/,
    /by itself/,
  ],
  [
    'nonsense',
    { status: 418, body: {} },
    'missing',
    /no answer that could be understood \(it answered 418\)/,
    /baseUrl/,
  ],
]

test('each fault a person meets is said with what happened, why, and what to type', async () => {
  await using ada = await person(built.program)
  await using real = await provider()
  await settle(ada, real.url, { anthropic: models.anthropic })
  const loaded = await loadConfig({ file: ada.paths.configFile, env: {} })
  assert.ok(!isRefusal(loaded))
  const ports = { world, env: {}, keys: ada.paths.keys, settings: loaded.settings }
  for (const [what, fault, state, found, mend] of faults) {
    real.setFaults([fault])
    const checks = await examineLive(ports) // what doctor --live calls; a whole doctor for each would look at the machine a dozen times
    assert.deepEqual([what, checks.length, checks[0]!.state], [what, 1, state])
    assert.match(checks[0]!.found, found, what)
    assert.match(checks[0]!.mend!, mend, what)
    assert.ok(!JSON.stringify(checks).includes('canary'), what)
  }
  const { checks, code } = await live(ada)
  assert.deepEqual([checks, code], [await examineLive(ports), 1])
})

test('a provider that is not there, one behind a proxy that refuses, and a model without a price are told apart', async () => {
  await using ada = await person(built.program)
  const nobody = createServer()
  await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve))
  const { port } = nobody.address() as AddressInfo
  await new Promise((resolve) => nobody.close(resolve))
  await settle(ada, `http://127.0.0.1:${port}`, { anthropic: models.anthropic })
  const [gone] = (await live(ada)).checks
  assert.match(gone!.found, /the provider could not be reached/)

  const refusal = 'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'
  const proxy = createServer((socket) => void socket.once('data', () => socket.end(refusal)))
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  await settle(ada, 'https://api.example.com', { anthropic: models.anthropic })
  const text = (await ada.type(['config', 'show'])).stdout // a key written into the file is refused for this provider…
  assert.equal(text, '')
  await writeFile(
    ada.paths.configFile,
    `money: { priceAge: 30000d }\nfamilies:\n  anthropic: { agent: scripted, program: ${scripted}, baseUrl: "https://api.example.com", keyFrom: { env: K }, models: ${models.anthropic} }\n`,
    { mode: 0o600 },
  )
  const [behind] = (await live(ada, { K: realKey, HTTPS_PROXY: proxyUrl })).checks // …so it comes by a variable
  await new Promise((resolve) => proxy.close(resolve))
  assert.match(behind!.found, /something between here and the provider answered in its place/)
  assert.match(behind!.mend!, /HTTPS_PROXY/)

  await using real = await provider()
  await settle(ada, real.url, { anthropic: 'claude-fable-99' })
  const [unpriced] = (await live(ada)).checks
  assert.match(unpriced!.found, /this model has no known price/)
  assert.match(unpriced!.mend!, /prices: \{ claude-fable-99: /)
  assert.deepEqual(real.requests, [], 'nothing left')
})

test('an account too small for the slots that are set is warned of, with what to set', async () => {
  await using ada = await person(built.program)
  await using real = await provider()
  await settle(ada, real.url, { openai: models.openai }, 'slots: { implementer: 8 }\n')
  const { checks } = await live(ada)
  assert.deepEqual([checks[0]!.state, /feeds 3 at once, 10 slots are set/.test(checks[0]!.found)], ['warning', true])
  assert.match(checks[0]!.mend!, /^slots: /)
})
