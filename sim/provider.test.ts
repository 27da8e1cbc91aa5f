import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { askOne, asks, names, post, scenario, withProvider } from './provider-rig.ts'
import type { Got } from './provider-rig.ts'
import { startProvider } from './provider.ts'
import { virtualWorld } from './world.ts'

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
      await post(provider, `/t/att_1/deep${path}`, body, { authorization: 'Bearer vk', 'user-agent': 'a-cli/1.2.3' })
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
      userAgent: 'a-cli/1.2.3',
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
