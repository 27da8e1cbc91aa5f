import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { startProvider } from './provider.ts'
import type { Provider, ProviderOptions } from './provider.ts'
import type { Scenario } from './scenario.ts'
import { virtualWorld } from './world.ts'
import type { VirtualWorld } from './world.ts'

const scenario: Scenario = {
  rules: [
    {
      when: ['task'],
      steps: [{ shell: 'ls' }, { say: 'all done' }],
      usage: { input: 100, cachedInput: 40, output: 9, thinking: 3 },
    },
    { when: ['stall'], steps: [{ hang: true }] },
  ],
}

async function withProvider(
  body: (provider: Provider, world: VirtualWorld) => Promise<void>,
  options: Partial<ProviderOptions> = {},
) {
  const world = virtualWorld()
  await using provider = await startProvider({ world, scenario, ...options })
  await body(provider, world)
}

const tools = {
  messages: [{ name: 'Bash', input_schema: {} }],
  responses: [{ type: 'function', name: 'exec_command', parameters: {} }],
  chat: [{ type: 'function', function: { name: 'bash' } }],
  gemini: [{ functionDeclarations: [{ name: 'run_shell_command' }] }],
}
const asks = (words: string, stream: boolean): Record<string, [path: string, body: object]> => ({
  messages: [
    '/v1/messages',
    { model: 'claude-x', stream, messages: [{ role: 'user', content: words }], tools: tools.messages },
  ],
  responses: ['/v1/responses', { model: 'gpt-x', stream, input: words, tools: tools.responses }],
  chat: [
    '/v1/chat/completions',
    { model: 'gpt-x', stream, messages: [{ role: 'user', content: words }], tools: tools.chat },
  ],
  gemini: [
    `/v1beta/models/gemini-x:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    { contents: [{ role: 'user', parts: [{ text: words }] }], tools: tools.gemini },
  ],
})

type Got = { status: number; headers: Record<string, string>; text: string }

async function post(
  provider: Provider,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Got> {
  const response = await fetch(provider.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() }
}

const askOne = (provider: Provider, which = 'messages', stream = true, words = 'the task', headers = {}) => {
  const [path, body] = asks(words, stream)[which] ?? ['', {}]
  return post(provider, path, body, headers)
}

const names = ['messages', 'responses', 'chat', 'gemini'] as const

test('the same requests in the same world get the same bytes, headers and all', async () => {
  const story = async () => {
    const got: Got[] = []
    await withProvider(async (provider) => {
      for (const name of names) for (const stream of [true, false]) got.push(await askOne(provider, name, stream))
    })
    return got
  }
  const [first, second] = [await story(), await story()]
  assert.equal(first.length, 8)
  assert.deepEqual(first, second)
  assert.deepEqual(
    first.map((got) => got.headers.date),
    first.map(() => undefined),
  )
  assert.equal(new Set(first.map((got) => got.text)).size, 8)
})

test('a path is known behind any prefix, and every request is recorded without its body', () =>
  withProvider(async (provider, world) => {
    for (const name of names) {
      const [path, body] = asks('the task', true)[name] ?? ['', {}]
      await post(provider, `/t/att_1/deep${path}`, body, { authorization: 'Bearer vk' })
    }
    const tokens = { input: 100, cachedInput: 40, output: 9, thinking: 3 }
    const record = (n: number, dialect: string, family: string, model: string, path: string, tool: string) => ({
      n,
      at: world.clock.now(),
      method: 'POST',
      path: `/t/att_1/deep${path}`,
      dialect,
      family,
      model,
      key: 'vk',
      bytes: provider.requests[n - 1]?.bytes,
      tools: [tool],
      toolResults: 0,
      rule: 0,
      step: 'shell',
      fault: null,
      status: 200,
      tokens: { ...tokens, cacheWrite: 0 },
      ended: 'finished',
    })
    assert.deepEqual(provider.requests, [
      record(1, 'anthropic-messages', 'anthropic', 'claude-x', '/v1/messages', 'Bash'),
      record(2, 'openai-responses', 'openai', 'gpt-x', '/v1/responses', 'exec_command'),
      record(3, 'openai-chat', 'openai', 'gpt-x', '/v1/chat/completions', 'bash'),
      record(
        4,
        'gemini',
        'google',
        'gemini-x',
        '/v1beta/models/gemini-x:streamGenerateContent?alt=sse',
        'run_shell_command',
      ),
    ])
    assert.ok(provider.requests.every((one) => one.bytes > 50))
  }))

test('the family is that of the model named, whatever dialect it is asked in', () =>
  withProvider(async (provider) => {
    await post(provider, '/v1/chat/completions', { model: 'gemini-3-pro', messages: [] })
    await post(provider, '/v1/chat/completions', { model: 'house-blend', messages: [] })
    assert.deepEqual(
      provider.requests.map((one) => one.family),
      ['google', 'openai'],
    )
  }))

test('the side doors clients knock at are open: hello, models, and counting in each vendor’s words', () =>
  withProvider(async (provider) => {
    const hello = await fetch(`${provider.url}/t/1/api/hello`, { method: 'HEAD' })
    const models = await fetch(`${provider.url}/v1/models`)
    const counted = await Promise.all(
      ['/v1/messages/count_tokens', '/v1/responses/input_tokens', '/v1beta/models/gemini-x:countTokens'].map(
        async (path) => JSON.parse((await post(provider, path, { pad: 'x'.repeat(31) })).text) as unknown,
      ),
    )
    const lost = await post(provider, '/v1/embeddings', {})
    assert.deepEqual(
      [hello.status, models.status, await models.json(), counted, lost.status],
      [
        200,
        200,
        { object: 'list', data: [], models: [], has_more: false },
        [{ input_tokens: 11 }, { object: 'response.input_tokens', input_tokens: 11 }, { totalTokens: 11 }],
        404,
      ],
    )
  }))

test('compressed bodies are read', () =>
  withProvider(async (provider) => {
    const body = JSON.stringify(asks('the task', false).responses?.[1])
    for (const [coding, packed] of [
      ['zstd', zstdCompressSync(body)],
      ['gzip', gzipSync(body)],
    ] as const)
      await fetch(`${provider.url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-encoding': coding },
        body: new Uint8Array(packed),
      })
    assert.deepEqual(
      provider.requests.map((one) => one.step),
      ['shell', 'shell'],
    )
  }))

test('only the keys named are let in, by whichever header a vendor reads', () =>
  withProvider(
    async (provider) => {
      const tries = [
        { 'x-api-key': 'good' },
        { 'x-goog-api-key': 'good' },
        { authorization: 'Bearer good' },
        { 'x-api-key': 'bad' },
        {},
      ]
      const got = await Promise.all(tries.map((headers) => askOne(provider, 'messages', true, 'the task', headers)))
      assert.deepEqual(
        got.map((one) => one.status),
        [200, 200, 200, 401, 401],
      )
      assert.match(got[3]?.text ?? '', /authentication_error/)
      assert.equal((await fetch(`${provider.url}/v1beta/models?key=good`)).status, 200)
    },
    { keys: ['good'] },
  ))

test('a body that is no JSON object is a bad request in the words of the dialect', () =>
  withProvider(async (provider) => {
    const response = await fetch(`${provider.url}/v1/messages`, { method: 'POST', body: '{"model":' })
    assert.deepEqual(
      [response.status, await response.json()],
      [400, { type: 'error', error: { type: 'invalid_request_error', message: 'the body is not a JSON object' } }],
    )
  }))

test('bodies are kept only when asked for, and the log hears of each request once, when it ended', async () => {
  const heard: unknown[] = []
  await withProvider(
    async (provider) => {
      await askOne(provider)
      assert.equal(provider.requests[0]?.body, JSON.stringify(asks('the task', true).messages?.[1]))
    },
    { keepBodies: true, log: (record) => heard.push([record.n, record.ended]) },
  )
  assert.deepEqual(heard, [[1, 'finished']])
})

test('an ordered status comes after those let through, so often as told, with its headers and body', () =>
  withProvider(
    async (provider) => {
      const got: unknown[] = []
      for (let count = 0; count < 4; count++) {
        const { status, headers, text } = await askOne(provider)
        got.push([status, headers['retry-after'] ?? null, status === 200 ? null : JSON.parse(text)])
      }
      assert.equal((await askOne(provider, 'gemini')).status, 200, 'another path is not meant')
      const limited = [429, '7', { custom: true }]
      assert.deepEqual(got, [[200, null, null], limited, limited, [200, null, null]])
      assert.deepEqual(
        provider.requests.map((one) => one.fault),
        [null, 'status', 'status', null, null],
      )
    },
    {
      faults: [
        {
          match: '^POST .*/messages$',
          status: 429,
          after: 1,
          times: 2,
          headers: { 'retry-after': '7' },
          body: { custom: true },
        },
      ],
    },
  ))

test('a fault meant for one family leaves the others alone', () =>
  withProvider(
    async (provider) => {
      const got = await Promise.all(names.map((name) => askOne(provider, name)))
      assert.deepEqual(
        got.map((one) => one.status),
        [200, 529, 529, 200],
      )
    },
    { faults: [{ family: 'openai', status: 529 }] },
  ))

/** Reads what comes until it ends, breaks, or `enough` of it is there; then goes away. */
async function readSome(
  provider: Provider,
  which: string,
  stream: boolean,
  enough: (text: string) => boolean,
  words = 'the task',
) {
  const [path, body] = asks(words, stream)[which] ?? ['', {}]
  const stop = new AbortController()
  let text = ''
  let left = false
  try {
    const response = await fetch(provider.url + path, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: stop.signal,
    })
    const decoder = new TextDecoder()
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true })
      if (!enough(text)) continue
      left = true
      stop.abort()
    }
    return { text, end: 'whole' }
  } catch {
    return { text, end: left ? 'left' : 'broken' }
  }
}

const never = () => false

test('reset, cut and an error in the stream break an answer where they should, streamed or not', async () => {
  for (const name of names) {
    await withProvider(async (provider) => {
      const whole = (await askOne(provider, name)).text
      provider.setFaults([{ action: 'reset' }])
      assert.deepEqual(await readSome(provider, name, true, never), { text: '', end: 'broken' })
      provider.setFaults([{ action: 'cut' }])
      const half = await readSome(provider, name, true, never)
      assert.equal(half.end, 'broken')
      assert.ok(half.text.length > 0 && half.text.length < whole.length && whole.startsWith(half.text), name)
      const part = await readSome(provider, name, false, never)
      assert.equal(part.end, 'broken')
      assert.throws(() => JSON.parse(part.text) as unknown)
      provider.setFaults([{ action: 'error-event', status: 429 }])
      const failed = await readSome(provider, name, true, never)
      assert.equal(failed.end, 'whole')
      assert.match(failed.text, /rate_limit|RESOURCE_EXHAUSTED/)
      assert.deepEqual(
        provider.requests.map(({ fault, status, ended }) => [fault, status, ended]),
        [
          [null, 200, 'finished'],
          ['reset', 0, 'cut'],
          ['cut', 200, 'cut'],
          ['cut', 200, 'cut'],
          ['error-event', 200, 'finished'],
        ],
      )
    })
  }
})

test('a hang gives nothing, a hang in the middle the first frame, and a client that leaves is seen', async () => {
  const ended: unknown[] = []
  const both = Promise.withResolvers<void>()
  await withProvider(
    async (provider, world) => {
      const stalled = await readSome(provider, 'messages', true, (text) => text.endsWith('\n\n'), 'stall')
      assert.deepEqual(
        [stalled.text.includes('message_start'), stalled.text.includes('content_block'), stalled.end],
        [true, false, 'left'],
      )
      provider.setFaults([{ action: 'hang' }])
      const stop = new AbortController()
      const asked = fetch(`${provider.url}/v1/messages`, { method: 'POST', body: '{}', signal: stop.signal })
      while (provider.requests.length < 2) await world.settle()
      stop.abort()
      await assert.rejects(asked)
      await both.promise
    },
    {
      log: (record) => {
        ended.push([record.fault, record.status, record.ended])
        if (ended.length === 2) both.resolve()
      },
    },
  )
  assert.deepEqual(ended, [
    ['midhang', 200, 'cut'],
    ['hang', 0, 'cut'],
  ])
})

test('a slow answer waits before each frame, by the clock of its world', () =>
  withProvider(
    async (provider, world) => {
      const asked = askOne(provider)
      let settled = false
      void asked.then(() => (settled = true))
      let waits = 0
      while (!settled) {
        await world.settle()
        if (world.pending() > 0) {
          waits++
          await world.advance(500)
        }
      }
      const frames = (await asked).text.split('\n\n').length - 1
      assert.deepEqual([waits, world.clock.mono()], [frames, frames * 500])
    },
    { faults: [{ action: 'slow', delayMs: 500 }] },
  ))

test('another process can set the scenario and the faults, read the records, and is told what is wrong', () =>
  withProvider(async (provider) => {
    const wrong = await post(provider, '/__control', { faults: [{ action: 'explode' }] })
    assert.deepEqual([wrong.status, (JSON.parse(wrong.text) as { refused: string }).refused], [400, 'bad-faults'])
    assert.equal((await post(provider, '/__control', { scenario: { rules: 'none' } })).status, 400)
    const set = await post(provider, '/__control', {
      scenario: { rules: [{ when: [], steps: [{ say: 'changed' }] }] },
      faults: [{ status: 503, times: 1 }],
    })
    assert.deepEqual(JSON.parse(set.text), { scenario: true, faults: true })
    assert.equal((await askOne(provider)).status, 503)
    assert.match((await askOne(provider, 'messages', false)).text, /changed/)
    const told = (await (await fetch(`${provider.url}/__control`)).json()) as {
      requests: { n: number }[]
      faultsGiven: number[]
    }
    assert.deepEqual([told.requests.map((one) => one.n), told.faultsGiven], [[1, 2], [1]])
  }))

test('a side errand for JSON gets the smallest its schema allows, so that the client goes on', () =>
  withProvider(async (provider) => {
    const generationConfig = {
      responseMimeType: 'application/json',
      responseJsonSchema: { type: 'OBJECT', properties: { score: { type: 'INTEGER' } } },
    }
    const body = { contents: [{ role: 'user', parts: [{ text: 'route me' }] }], generationConfig }
    const { text } = await post(provider, '/v1beta/models/gemini-x:generateContent', body)
    assert.match(text, /"text":"\{\\"score\\":1\}"/)
  }))

test('a stream of Gemini that did not ask for events is one JSON array', () =>
  withProvider(async (provider) => {
    const { text } = await post(
      provider,
      '/v1beta/models/gemini-x:streamGenerateContent',
      asks('the task', true).gemini?.[1],
    )
    assert.equal((JSON.parse(text) as unknown[]).length, 3)
  }))

test('limits told in headers follow the tokens spent, and a provider may be stopped twice', async () => {
  const world = virtualWorld()
  const provider = await startProvider({ world, scenario })
  await askOne(provider)
  const { headers } = await askOne(provider)
  assert.deepEqual(
    [headers['anthropic-ratelimit-requests-remaining'], headers['anthropic-ratelimit-input-tokens-remaining']],
    ['3998', '1999800'],
  )
  provider.setFaults([{ action: 'hang' }])
  const unanswered = assert.rejects(askOne(provider))
  while (provider.requests.length < 3) await world.settle()
  await provider[Symbol.asyncDispose]()
  await provider[Symbol.asyncDispose]()
  await unanswered
})
