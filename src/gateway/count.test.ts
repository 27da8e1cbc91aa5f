import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import test from 'node:test'
import { realWorld } from '../host/world.ts'
import { boundCounted } from './estimate.ts'
import { askIn, models } from './canned.ts'
import { answering, books, realKey, setStage, tell, used, type Script, type Stage } from './rehearsal.ts'
import type { Dialect } from './route.ts'

/** More than a burst of $3 pays for, were each byte a token; a quarter of that is what it has. */
const words = 'all work and no play '.repeat(33_000)
const trueTokens = 173_000

const countPaths = {
  'anthropic-messages': '/v1/messages/count_tokens?beta=true',
  'openai-responses': '/v1/responses/input_tokens',
  gemini: `/v1beta/models/${models.gemini}:countTokens`,
} as const

const isCount = (url: string): boolean => /count|input_tokens/i.test(url)

const counting =
  (answer: (response: ServerResponse) => unknown, rest: Script): Script =>
  (request, response, body) =>
    isCount(request.url!) ? void answer(response) : rest(request, response, body)

const says =
  (fields: object) =>
  (response: ServerResponse): unknown =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(fields))

function longAsk(dialect: Dialect): { path: string; body: string } {
  const { path, body } = askIn(dialect, true)
  return { path, body: body.replace('Write one line, please', words) }
}

/** A burst that the bytes of `words` are beyond with a cheap model, too. */
const limits = { pace: { minuteNanoUsd: 1_000_000_000, burstNanoUsd: 400_000_000 } }

const send = (stage: Stage, key: string, { path, body }: { path: string; body: string }, signal?: AbortSignal) =>
  tell(stage.gateway, { path, body, headers: { authorization: `Bearer ${key}` }, ...(signal ? { signal } : {}) })

for (const dialect of ['anthropic-messages', 'openai-responses', 'gemini'] as const)
  test(`a first long ${dialect} request that its bytes alone would refuse is counted, and passes`, async () => {
    const asked = longAsk(dialect)
    const isCheap = dialect === 'gemini'
    const tokens = isCheap ? 43_000 : trueTokens
    await using stage = await setStage(
      counting(
        says(isCheap ? { totalTokens: tokens } : { object: 'response.input_tokens', input_tokens: tokens }),
        answering(dialect, used),
      ),
      isCheap ? { limits } : {},
    )
    const { key } = await stage.enter(dialect)
    let heldMeanwhile = -1
    const { script } = stage.provider
    stage.provider.script = async (request, response, body) => {
      if (isCount(request.url!)) heldMeanwhile = (await books(stage)).held
      return script(request, response, body)
    }
    const heard = await send(stage, key, asked)
    assert.equal(heard.status, 200, heard.body.toString().slice(0, 300))
    assert.deepEqual(
      stage.provider.arrived.map(({ url }) => url),
      [countPaths[dialect], asked.path],
    )
    const [count, request] = stage.provider.arrived
    assert.equal(heldMeanwhile, 0, 'nothing is held for the question')
    assert.equal(request!.body.toString(), asked.body, 'and the request is what it was')
    assert.ok(!JSON.stringify(count!.headers).includes(key))
    assert.ok(JSON.stringify(count!.headers).includes(realKey))
    const question = JSON.parse(count!.body.toString()) as Record<string, unknown>
    const body = JSON.parse(asked.body) as Record<string, unknown>
    const expected = {
      'anthropic-messages': { model: body['model'], messages: body['messages'] },
      'openai-responses': { model: body['model'], input: body['input'] },
      gemini: { generateContentRequest: { model: `models/${models.gemini}`, ...body } },
    }
    assert.deepEqual(question, expected[dialect])
    const { charges, held } = await books(stage)
    assert.deepEqual([charges.map(({ how }) => how), held], [['exact'], 0])
  })

test('the same text is counted once, whatever becomes of the requests', async () => {
  await using stage = await setStage(
    counting(says({ input_tokens: 10_000 }), (_, response) => void response.writeHead(400).end('{}')),
    { limits },
  )
  const { key } = await stage.enter('anthropic-messages')
  const asked = longAsk('anthropic-messages')
  for (const _ of [1, 2, 3]) assert.equal((await send(stage, key, asked)).status, 400)
  assert.deepEqual(
    stage.provider.arrived.map(({ url }) => isCount(url)),
    [true, false, false, false],
  )
})

test('a request that fits by its bytes is not counted', async () => {
  await using stage = await setStage(answering('anthropic-messages', used), { limits })
  const { key } = await stage.enter('anthropic-messages')
  assert.equal((await send(stage, key, askIn('anthropic-messages', true))).status, 200)
  assert.deepEqual(
    stage.provider.arrived.map(({ url }) => isCount(url)),
    [false],
  )
})

test('a small request is not worth a question: what it lacks are not the tokens of its text', async () => {
  await using stage = await setStage(answering('anthropic-messages', used), { limits })
  const { key } = await stage.enter('anthropic-messages', { limitNanoUsd: 1000 })
  assert.equal((await send(stage, key, askIn('anthropic-messages', true))).status, 402)
  assert.deepEqual(stage.provider.arrived, [])
})

test('a number that does not fit either is refused, and nothing is generated', async () => {
  await using stage = await setStage(counting(says({ input_tokens: 150_000 }), answering('anthropic-messages', used)), {
    limits,
  })
  const { key, attempt } = await stage.enter('anthropic-messages')
  const heard = await send(stage, key, longAsk('anthropic-messages'))
  assert.equal(heard.status, 402)
  assert.match(heard.body.toString(), /must hold \$0\.7850, more than the \$0\.4000/) // of what was counted, not of the bytes
  assert.equal(stage.provider.arrived.length, 1)
  assert.equal(stage.gateway.report(attempt).verdict, 'over-budget')
})

const cannot: [string, (response: ServerResponse) => unknown][] = [
  ['does not know the path', (response) => response.writeHead(404).end('{}')],
  ['fails', (response) => response.writeHead(500).end('{"input_tokens":5}')],
  ['hangs up', (response) => response.destroy()],
  [
    'breaks off',
    (response) => {
      response.writeHead(200, { 'content-length': 99 }).write('{"input_tokens":5')
      realWorld().timer.after(5, () => response.destroy())
    },
  ],
  ['says nothing', () => {}],
  ['says what is no number', says({ input_tokens: 'few' })],
  ['counts less than nothing', says({ input_tokens: -5 })],
  ['counts nothing', says({ input_tokens: 0 })],
  ['counts beyond reason', says({ input_tokens: 1e12 })],
  ['says far too much', (response) => response.writeHead(200).end(' '.repeat(200_000) + '{"input_tokens":5}')],
  ['sends elsewhere', (response) => response.writeHead(302, { location: '/v1/other' }).end('{"input_tokens":5}')],
]

for (const [what, answer] of cannot)
  test(`where the provider ${what} when it is to count, bytes decide and the gateway goes on`, async () => {
    await using stage = await setStage(counting(answer, answering('anthropic-messages', used)), {
      limits,
      timeouts: { countMs: 200 },
    })
    const { key } = await stage.enter('anthropic-messages')
    const heard = await send(stage, key, longAsk('anthropic-messages'))
    assert.equal(heard.status, 402)
    assert.match(heard.body.toString(), /BUDGET_EXCEEDED: this request must hold \$3\.\d+/)
    assert.deepEqual(await books(stage), { charges: [], held: 0, spent: 0 })
    assert.ok(stage.provider.arrived.every(({ url }) => isCount(url)))
    stage.provider.script = answering('anthropic-messages', used)
    assert.equal((await send(stage, key, askIn('anthropic-messages', true))).status, 200)
  })

test('a further family’s server is never asked to count: what that costs there is not known', async () => {
  const chat = { model: 'my-model', stream: true, messages: [{ role: 'user', content: words }] }
  const over = (baseUrl: string) => ({
    upstreams: [{ family: 'mine', baseUrl, key: () => realKey }],
    families: { 'my-model': 'mine' },
    prices: {
      asOf: '',
      mostDays: null,
      models: new Map([
        [
          'my-model',
          {
            model: 'my-model',
            origin: 'operator' as const,
            asOf: null,
            context: 1_000_000,
            dated: false,
            periods: [{ from: '', rates: dear() }],
          },
        ],
      ]),
    },
  })
  await using stage = await setStage(answering('openai-chat', used), { limits, over })
  const { key } = await stage.enter('openai-chat', { family: 'mine', models: ['my-model'] })
  for (const path of ['/v1/chat/completions', '/v1/messages', '/v1/responses']) {
    const body = JSON.stringify(path === '/v1/responses' ? { ...chat, input: chat.messages } : chat)
    const heard = await send(stage, key, { path, body })
    assert.ok(heard.status === 400 || heard.status === 402, `${path}: ${heard.status}`)
  }
  assert.deepEqual(stage.provider.arrived, [])
})

const dear = () => {
  const rate = { base: 5_000_000_000, tiers: [] }
  return { input: rate, cachedInput: rate, cacheWrite: rate, cacheWriteHour: rate, output: rate, webSearch: 0 }
}

test('a client that goes away while its request is counted leaves nothing held, and the question is dropped', async () => {
  const leave = new AbortController()
  let closed = (_: unknown): void => {}
  const dropped = new Promise((resolve) => (closed = resolve))
  await using stage = await setStage(
    counting(
      (response) => {
        response.on('close', closed)
        leave.abort()
      },
      answering('anthropic-messages', used),
    ),
    { limits },
  )
  const { key } = await stage.enter('anthropic-messages')
  await assert.rejects(send(stage, key, longAsk('anthropic-messages'), leave.signal))
  await dropped
  stage.provider.script = answering('anthropic-messages', used)
  assert.equal((await send(stage, key, askIn('anthropic-messages', true))).status, 200)
  assert.equal((await books(stage)).held, 0)
})

test('what a vendor calls an estimate is held with a margin', () => {
  assert.deepEqual([boundCounted(100_000), boundCounted(1)], [104_000, 2002])
})
