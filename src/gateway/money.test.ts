import assert from 'node:assert/strict'
import test from 'node:test'
import { askIn, streamOf } from './canned.ts'
import {
  answering,
  books,
  realKey,
  setStage,
  speak,
  startProvider,
  tell,
  used,
  word,
  type Script,
} from './rehearsal.ts'
import type { Dialect } from './route.ts'

const events = (body: Buffer): Record<string, unknown>[] =>
  body
    .toString()
    .split(/\r?\n\r?\n/)
    .flatMap((event) => /^data: (\{.*)$/m.exec(event)?.[1] ?? [])
    .map((json) => JSON.parse(json) as Record<string, unknown>)

const endings: Partial<Record<Dialect, (all: Record<string, unknown>[]) => unknown>> = {
  'anthropic-messages': (all) =>
    all.slice(-3).map((event) => [event['type'], event['delta'] ?? event['index'] ?? null]),
  'openai-responses': (all) => {
    const { type, sequence_number: n, response } = all.at(-1)!
    const { id, status, incomplete_details: why } = response as Record<string, unknown>
    return [type, n, id, status, why]
  },
  'openai-chat': (all) => all.slice(-2).map((event) => [event['id'], event['choices'], typeof event['usage']]),
}

const cutCases: [Dialect, number, number, unknown][] = [
  [
    'anthropic-messages',
    70_000_000,
    402,
    [
      ['content_block_stop', 0],
      ['message_delta', { stop_reason: 'max_tokens', stop_sequence: null }],
      ['message_stop', null],
    ],
  ],
  [
    'openai-responses',
    36_000_000,
    400,
    ['response.incomplete', 1, 'resp_1', 'incomplete', { reason: 'max_output_tokens' }],
  ],
  [
    'openai-chat',
    36_000_000,
    400,
    [
      ['chatcmpl-1', [{ index: 0, delta: {}, finish_reason: 'length' }], 'undefined'],
      ['chatcmpl-1', [], 'object'],
    ],
  ],
]

for (const [dialect, limitNanoUsd, status, ending] of cutCases)
  test(`a ${dialect} stream that reaches its budget ends as a whole answer, and the next request hears so`, async () => {
    let said = 0
    await using stage = await setStage(async (_, response) => {
      said = await speak(dialect, response, 400, (rest) => response.end(rest))
    })
    const { key, attempt } = await stage.enter(dialect, { limitNanoUsd })
    const { path, body } = askIn(dialect, true, {}, 128_000)
    const headers = { authorization: `Bearer ${key}` }
    const heard = await tell(stage.gateway, { path, headers, body })
    assert.deepEqual([heard.status, heard.broken], [200, false])
    const all = events(heard.body)
    assert.deepEqual(endings[dialect]!(all), ending)
    const passed = all.filter((event) => JSON.stringify(event).includes(word)).length
    // a lease of 2,000 tokens, and as much more as fits beside input and margin: 2,836
    assert.ok(passed >= 95 && passed < 142, `${passed} words of 20 tokens`)

    const { charges, held, spent } = await books(stage)
    assert.deepEqual([charges.map(({ how }) => how), held], [['estimated'], 0])
    assert.ok(spent <= limitNanoUsd && spent > limitNanoUsd / 2, String(spent))
    const refusal = await tell(stage.gateway, { path, headers, body })
    assert.equal(refusal.status, status)
    assert.match(refusal.body.toString(), /BUDGET_EXCEEDED: the budget of task\/task_1 has \$0\.0/)
    assert.equal(stage.provider.arrived.length, 1)
    assert.equal(stage.gateway.report(attempt).verdict, 'over-budget')
    assert.deepEqual(
      stage.events.flatMap((event) => (event.type === 'budget.reached' ? [event.cut] : [])),
      [true, false],
    )
    assert.ok(said < 400 || stage.provider.aborted() === 1)
  })

test('gemini hears of a reached budget with its own status', async () => {
  await using stage = await setStage(answering('gemini', used))
  const { key } = await stage.enter('gemini', { limitNanoUsd: 1000 })
  const { path, body } = askIn('gemini', true)
  const heard = await tell(stage.gateway, { path, headers: { 'x-goog-api-key': key }, body })
  assert.equal(heard.status, 402)
  const { error } = JSON.parse(heard.body.toString()) as { error: Record<string, unknown> }
  assert.deepEqual([error['code'], error['status']], [402, 'FAILED_PRECONDITION'])
  assert.equal(stage.provider.arrived.length, 0)
})

test('an output cap beyond all that is left is lowered to it', async () => {
  await using stage = await setStage(answering('anthropic-messages', used))
  const { key } = await stage.enter('anthropic-messages', { limitNanoUsd: 100_000_000 })
  const { path, body } = askIn('anthropic-messages', true, {}, 128_000)
  await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal(stage.provider.arrived[0]!.body.toString(), body.replace('128000', '5000')) // $0.10 at $20 a million
})

const spoiled: [string, Script][] = [
  ['breaks off', (_, response) => void speak('anthropic-messages', response, 20, () => response.destroy())],
  [
    'ends without a word on usage',
    (_, response) =>
      void response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end(streamOf('anthropic-messages', used, [word], true)),
  ],
  ['dies before it answers', (_, response) => void response.destroy()],
  [
    'answers with what is no event stream',
    (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
  ],
]

for (const [what, script] of spoiled)
  test(`an answer that ${what} is charged at its upper bound and holds nothing`, async () => {
    await using stage = await setStage(script)
    const { key } = await stage.enter('anthropic-messages')
    const { path, body } = askIn('anthropic-messages', true)
    await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    await stage.settled(1)
    const { charges, held } = await books(stage)
    assert.deepEqual([charges.length, charges[0]!.how, held], [1, 'estimated', 0])
    assert.ok(
      charges[0]!.nanoUsd >= 4_040_000 + 400 * 20_000,
      `${charges[0]!.nanoUsd} covers input and the cancel margin`,
    )
    assert.equal((await tell(stage.gateway, { method: 'HEAD', path: '/api/hello' })).status, 200)
  })

test('a client that goes away is charged for what was made, and the provider is hung up on', async () => {
  let hungUp = (_: unknown): void => {}
  const gone = new Promise((resolve) => (hungUp = resolve))
  await using stage = await setStage((_, response) => {
    response.on('close', hungUp)
    void speak('openai-responses', response, 100_000, () => {})
  })
  const { key, attempt } = await stage.enter('openai-responses')
  const { path, body } = askIn('openai-responses', true, {}, 128_000)
  const leave = new AbortController()
  const asked = tell(stage.gateway, {
    path,
    headers: { authorization: `Bearer ${key}` },
    body,
    signal: leave.signal,
    onData: (bytes) => {
      if (bytes.includes(word)) leave.abort()
    },
  })
  await asked.catch(() => {})
  await gone
  await stage.settled(1)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges[0]!.how, held], ['estimated', 0])
  assert.equal(stage.gateway.report(attempt).heldNanoUsd, 0)
})

test('a revoked key ends its requests in flight at once, and every later one', async () => {
  await using stage = await setStage((_, response) => void speak('anthropic-messages', response, 100_000, () => {}))
  const { key, attempt, socket } = await stage.enter('anthropic-messages')
  const bystander = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true, {}, 128_000)
  const revoking: Promise<void>[] = []
  const moved: string[] = []
  stage.gateway.onActivity((who, kind) => void moved.push(`${who} ${kind}`))
  const heard = await tell(
    { socket },
    {
      path,
      headers: { 'x-api-key': key },
      body,
      onData: (bytes) => {
        if (bytes.includes(word)) revoking.push(stage.gateway.revoke(attempt))
      },
    },
  )
  assert.equal(heard.broken, true)
  await Promise.all(revoking)
  await stage.gateway.revoke(attempt)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges.map(({ how }) => how), held], [['estimated'], 0])
  assert.equal((await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })).status, 403)
  await assert.rejects(tell({ socket }, { path, headers: { 'x-api-key': key }, body }))
  assert.equal((await tell({ socket: bystander.socket }, { method: 'HEAD', path: '/api/hello' })).status, 200)
  assert.ok(moved.includes(`${attempt} bytes`))
  assert.deepEqual(new Set(moved.map((each) => each.split(' ')[0])), new Set([attempt]))
})

const upstreamSays: [number, Record<string, string>, 'rate-limited' | 'unreachable' | 'refused'][] = [
  [429, { 'retry-after': '1', 'x-should-retry': 'true' }, 'rate-limited'],
  [529, {}, 'rate-limited'],
  [500, {}, 'unreachable'],
  [403, {}, 'refused'],
]

for (const [status, extra, verdict] of upstreamSays)
  test(`a provider's ${status} reaches the client unchanged, costs nothing and is reported as ${verdict}`, async () => {
    const said = `{"type":"error","error":{"type":"x","message":"${status} é"}}`
    const timeouts = { patienceMs: 9000 } // too little to be asked again
    await using stage = await setStage((_, response) => void response.writeHead(status, extra).end(said), { timeouts })
    const { key, attempt } = await stage.enter('anthropic-messages')
    const { path, body } = askIn('anthropic-messages', true)
    const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    assert.deepEqual([heard.status, heard.body.toString()], [status, said])
    for (const [name, value] of Object.entries(extra)) assert.equal(heard.headers[name], value)
    assert.deepEqual(await books(stage), { charges: [{ how: 'free', nanoUsd: 0 }], held: 0, spent: 0 })
    assert.equal(stage.gateway.report(attempt).verdict, verdict)
    stage.provider.script = answering('anthropic-messages', used)
    await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    assert.equal(stage.gateway.report(attempt).verdict, null)
  })

for (const [dialect, status] of [
  ['anthropic-messages', 403],
  ['openai-responses', 400],
  ['openai-chat', 401],
  ['gemini', 401],
] as const)
  test(`a ${dialect} client stops asking where the provider does not know our key`, async () => {
    const said = '{"error":{"message":"invalid key"}}'
    await using stage = await setStage((_, response) => void response.writeHead(401).end(said))
    const { key, attempt } = await stage.enter(dialect)
    const { path, body } = askIn(dialect, true)
    const heard = await tell(stage.gateway, { path, headers: { authorization: `Bearer ${key}` }, body })
    assert.deepEqual([heard.status, heard.body.toString()], [status, said])
    assert.equal(stage.gateway.report(attempt).verdict, 'refused')
  })

test('an error inside a stream that began well is seen', async () => {
  const error = 'event: error\ndata: {"type":"error","error":{"type":"rate_limit_error","message":"later"}}\n\n'
  await using stage = await setStage((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(streamOf('anthropic-messages', used, ['a'], true) + error)
  })
  const { key, attempt } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  const { verdict, reason } = stage.gateway.report(attempt)
  assert.deepEqual([verdict, reason], ['rate-limited', 'rate_limit_error'])
})

test('a provider that is not there costs nothing, and each client is told so that it waits or stops', async () => {
  const dead = await startProvider(() => {})
  await dead.close()
  const upstreams = ['anthropic', 'openai', 'google'].map((family) => ({
    family,
    baseUrl: dead.url,
    key: () => realKey,
  }))
  await using stage = await setStage(() => {}, { upstreams })
  const heard: unknown[] = []
  for (const dialect of ['anthropic-messages', 'openai-responses', 'openai-chat', 'gemini'] as const) {
    const { key, attempt } = await stage.enter(dialect)
    const { path, body } = askIn(dialect, true)
    const { status, headers } = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    heard.push([status, headers['retry-after'], stage.gateway.report(attempt).verdict])
  }
  assert.deepEqual(heard, [
    [502, undefined, 'unreachable'],
    [429, '5', 'unreachable'],
    [502, undefined, 'unreachable'],
    [502, undefined, 'unreachable'],
  ])
  const { charges, held, spent } = await books(stage)
  assert.deepEqual([charges.map(({ how }) => how), held, spent], [['free', 'free', 'free', 'free'], 0, 0])
})

test('a redirect is not followed and not passed on', async () => {
  await using stage = await setStage(
    (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
  )
  const { key } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.deepEqual([heard.status, heard.headers.location, stage.provider.arrived.length], [502, undefined, 1])
})

test('a silent stream is thought to reason and is cut when that can no longer be paid', async () => {
  await using stage = await setStage(
    (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(streamOf('openai-responses', used, [], true))
    },
    { limits: { quantumTokens: 100, decodeRate: 400, cancelLagMs: 100, frameTokens: 64 } },
  )
  const { key } = await stage.enter('openai-responses', { limitNanoUsd: 9_000_000 })
  const { path, body } = askIn('openai-responses', true, {}, 128_000)
  const heard = await tell(stage.gateway, { path, headers: { authorization: `Bearer ${key}` }, body })
  assert.equal(events(heard.body).at(-1)!['type'], 'response.incomplete')
  assert.equal((await books(stage)).held, 0)
})

test('a provider that says nothing for too long is hung up on and charged by estimate', async () => {
  await using stage = await setStage(() => {}, { timeouts: { idleMs: 400, tickMs: 10 } })
  const { key } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  await assert.rejects(tell(stage.gateway, { path, headers: { 'x-api-key': key }, body }), /hang up|ECONNRESET/)
  await stage.settled(1)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges[0]!.how, held], ['estimated', 0])
})
