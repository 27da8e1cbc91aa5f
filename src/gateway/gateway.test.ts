import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { connect } from 'node:net'
import test from 'node:test'
import { findPrice, costOf, ratesFor, noTokens } from '../core/price.ts'
import { dayOf } from '../core/day.ts'
import { realWorld } from '../host/world.ts'
import { hashKey, keyOwner } from '../store/ledger.ts'
import { loadPrices } from './prices.ts'
import { askIn, bodyOf, dialects, models, streamOf } from './canned.ts'
import { answering, books, realKey, setStage, sha256, tell } from './rehearsal.ts'
import type { Dialect } from './route.ts'

const used = { input: 1000, cached: 200, output: 50 }

function priceOf(dialect: Dialect): number {
  const price = findPrice(loadPrices(), models[dialect])
  assert.ok(!('refused' in price))
  const tokens = { ...noTokens, input: 1000, cachedInput: 200, output: 50 }
  return costOf(ratesFor(price, dayOf(realWorld().clock.now()), 1200), tokens)
}

for (const dialect of dialects)
  for (const stream of [true, false])
    test(`${dialect} ${stream ? 'as a stream' : 'in one piece'} passes byte for byte both ways and is charged exactly`, async () => {
      await using stage = await setStage(answering(dialect, used))
      const { key, attempt, socket } = await stage.enter(dialect)
      const { path, body } = askIn(dialect, stream)
      const answer = stream ? streamOf(dialect, used) : bodyOf(dialect, used)
      for (const to of [{ url: stage.gateway.url }, { socket }]) {
        const heard = await tell(to, { path: `/t/${attempt}${path}`, headers: { 'x-api-key': key }, body })
        assert.equal(heard.status, 200)
        assert.equal(sha256(heard.body), sha256(answer))
        assert.equal(heard.headers['x-request-id'], 'req_1')
      }
      assert.deepEqual(
        stage.provider.arrived.map((each) => [each.url, sha256(each.body)]),
        [
          [path, sha256(body)],
          [path, sha256(body)],
        ],
      )
      const nanoUsd = priceOf(dialect)
      assert.deepEqual(await books(stage), {
        charges: [
          { how: 'exact', nanoUsd },
          { how: 'exact', nanoUsd },
        ],
        held: 0,
        spent: 2 * nanoUsd,
      })
      assert.deepEqual(stage.gateway.report(attempt), {
        requests: 2,
        input: 2000,
        cachedInput: 400,
        cacheWrite: 0,
        output: 100,
        costNanoUsd: 2 * nanoUsd,
        heldNanoUsd: 0,
        models: [models[dialect]],
        verdict: null,
        reason: null,
        scope: null,
        waitedMs: 0,
        voided: null,
        tools: { uses: {}, nanoUsd: 0 },
      })
    })

test('the provider gets the real key as its dialect wants it, and nothing of the client’s credentials', async () => {
  await using stage = await setStage((_, response) => void response.writeHead(400).end('{}'))
  const wanted = { 'anthropic-messages': 'x-api-key', gemini: 'x-goog-api-key' } as Record<string, string>
  for (const dialect of dialects) {
    const { key } = await stage.enter(dialect)
    const { path, body } = askIn(dialect, true)
    const query = `${path.includes('?') ? '&' : '?'}key=${key}`
    const headers = {
      authorization: `Bearer ${key}`,
      'x-note': `my key is ${key}`,
      cookie: 'a=b',
      'anthropic-beta': 'x',
      'openai-organization': 'org',
      connection: 'keep-alive, x-hop',
      'x-hop': '1',
      'accept-encoding': 'gzip',
    }
    await tell(stage.gateway, { path: path + query, headers, body })
    const { headers: got, url } = stage.provider.arrived.at(-1)!
    const real = wanted[dialect] ? { [wanted[dialect]]: realKey } : { authorization: `Bearer ${realKey}` }
    const { host, 'content-length': length, connection: _, ...rest } = got
    assert.deepEqual(rest, { 'anthropic-beta': 'x', 'accept-encoding': 'identity', ...real })
    assert.equal(length, String(Buffer.byteLength(body)))
    assert.equal(host, new URL(stage.provider.url).host)
    assert.ok(!url.includes(key) && !url.includes('key='))
  }
})

test('no real key reaches a client, wherever a provider echoes it', async () => {
  const split = realKey.slice(0, 9)
  await using stage = await setStage((request, response, body) => {
    const wantsError = body.includes('fail')
    const key = String(request.headers['x-api-key'])
    response.writeHead(wantsError ? 401 : 200, {
      'x-echo': key,
      'set-cookie': `k=${key}`,
      'content-type': 'text/event-stream',
    })
    response.write(`data: {"echo":"${key}"}\n\ndata: {"split":"${split}`)
    realWorld().timer.after(1, () => response.end(`${key.slice(split.length)}"}\n\ndata: ${split}`))
  })
  const { key } = await stage.enter('anthropic-messages')
  for (const extra of [{}, { system: 'fail' }]) {
    const { path, body } = askIn('anthropic-messages', true, extra)
    const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    const all = JSON.stringify(heard.headers) + heard.body.toString()
    assert.ok(!all.includes(realKey), all)
    const masked = '*'.repeat(realKey.length)
    assert.equal(heard.body.toString(), `data: {"echo":"${masked}"}\n\ndata: {"split":"${masked}"}\n\ndata: ${split}`)
    assert.equal(heard.headers['x-echo'], masked)
  }
})

test('a key that is wrong, stale, another attempt’s or for another family or model is denied before anything leaves', async () => {
  await using stage = await setStage(answering('anthropic-messages', used))
  const one = await stage.enter('anthropic-messages')
  const two = await stage.enter('anthropic-messages')
  const gpt = await stage.enter('openai-chat')
  const gone = await stage.enter('anthropic-messages')
  const stray = await stage.enter('anthropic-messages')
  await stage.gateway.revoke(gone.attempt)
  const owner = await stage.database.read((reader) => keyOwner(reader, hashKey(gone.key)))
  assert.equal(owner, undefined, 'and the next daemon knows it too')
  const { path, body } = askIn('anthropic-messages', true)
  const other = (model: string) => JSON.stringify({ ...(JSON.parse(body) as object), model })
  const twice = body.replace('{', '{"model":"claude-opus-5-5","\\u006dodel":"claude-fable-5-5",')
  const url = stage.gateway.url
  const cases: [string, { url?: string; socket?: string }, string | null, string, string][] = [
    ['no key', { url }, null, path, body],
    ['a wrong key', { url }, 'vk-wrong', path, body],
    ['a revoked key', { url }, gone.key, path, body],
    ['another attempt’s socket', { socket: one.socket }, two.key, path, body],
    ['another family’s model', { url }, stray.key, path, other('gpt-6-sol')],
    ['a model that is not granted', { url }, one.key, path, other('claude-haiku-4-5')],
    ['a model of no known family', { url }, one.key, path, other('mystery-1')],
    ['two models', { url }, one.key, path, twice],
    ['another family’s way of asking', { url }, gpt.key, path, body],
    ['a path that is not served', { url }, one.key, '/v1/messages/batches', body],
    ['a path that climbs', { url }, one.key, '/v1/../v1/messages', body],
    ['another host', { url }, one.key, 'http://127.0.0.1/v1/messages', body],
  ]
  for (const [what, to, key, where, sent] of cases) {
    const heard = await tell(to, { path: where, headers: key === null ? {} : { 'x-api-key': key }, body: sent })
    assert.equal(heard.status, 403, what)
    const { type, error } = JSON.parse(heard.body.toString()) as {
      type: string
      error: { type: string; message: string }
    }
    assert.deepEqual([type, typeof error.message], ['error', 'string'], what)
  }
  assert.deepEqual(stage.provider.arrived, [])
  assert.deepEqual(await books(stage), { charges: [], held: 0, spent: 0 })
  const refused = stage.events.flatMap((event) => (event.type === 'request.denied' ? [event.refused] : []))
  assert.deepEqual(refused, [
    'key-unknown',
    'key-unknown',
    'key-unknown',
    'key-unknown',
    'other-family',
    'model-denied',
    'other-family',
    'body-unfit',
    'dialect-denied',
    'path-denied',
    'path-denied',
    'path-denied',
  ])
  assert.equal(stage.gateway.report(one.attempt).verdict, 'refused')
})

test('keys of an earlier daemon are dead at start and what it held is charged in full', async () => {
  await using stage = await setStage(answering('anthropic-messages', used))
  const { key, socket } = await stage.enter('anthropic-messages')
  await stage.database.write(async (tx) => {
    const { placeHold, hashKey } = await import('../store/ledger.ts')
    const grant = {
      attempt: 'attempt_1',
      task: 'task_1',
      repo: 'r',
      repoName: 'shop',
      lane: 'normal' as const,
      stage: 's',
      family: 'anthropic',
      models: [],
      scope: 'task/task_1',
    }
    const tokens = { leastTokens: 10, mostTokens: 10, outputRate: 1e6, inputNanoUsd: 7, inputTokens: 7 }
    const path = [{ scope: 'task/task_1' }]
    return placeHold(tx, { keyHash: hashKey(key), grant, model: 'm', path, ...tokens, at: 1, day: '2026-11-24' })
  })
  await stage.restart()
  assert.deepEqual(await books(stage), { charges: [{ how: 'recovered', nanoUsd: 17 }], held: 0, spent: 17 })
  assert.deepEqual(stage.events, [{ type: 'holds.recovered', holds: 1, nanoUsd: 17 }])
  const { path, body } = askIn('anthropic-messages', true)
  assert.equal((await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })).status, 403)
  await assert.rejects(tell({ socket }, { path, body }), /ENOENT|ECONNREFUSED/)
  assert.deepEqual(stage.provider.arrived, [])
})

test('a socket is its owner’s alone, in a folder that is too', async () => {
  await using stage = await setStage(answering('gemini', used))
  const { socket } = await stage.enter('gemini')
  assert.equal(statSync(socket).mode & 0o777, 0o600)
  assert.equal(statSync(stage.folder).mode & 0o777, 0o700)
})

test('a model without a price is refused with the command that gives it one', async () => {
  await using stage = await setStage(answering('anthropic-messages', used))
  const { key } = await stage.enter('anthropic-messages', { models: ['claude-fable-99'] })
  const { path, body } = askIn('anthropic-messages', true, { model: 'claude-fable-99' })
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  const { error } = JSON.parse(heard.body.toString()) as { error: { message: string } }
  assert.match(
    error.message,
    /no price is known for model claude-fable-99.*; tri-agent prices set claude-fable-99 --input USD --output USD/,
  )
  assert.deepEqual(stage.provider.arrived, [])
})

test('a provider’s no reaches the client as it is, and the report in words of ours without anything of the body', async () => {
  const body = JSON.stringify({ error: { message: 'Your credit balance is too low, dear canary', type: 'x' } })
  await using stage = await setStage((_, response) => void response.writeHead(400).end(body))
  const { key, attempt } = await stage.enter('anthropic-messages')
  const asked = askIn('anthropic-messages', true)
  const heard = await tell(stage.gateway, { path: asked.path, headers: { 'x-api-key': key }, body: asked.body })
  assert.deepEqual([heard.status, heard.body.toString()], [400, body])
  const { verdict, reason } = stage.gateway.report(attempt)
  assert.deepEqual([verdict, reason], ['refused', 'the account has no credit left (the provider answered 400)'])
})

test('what would let a provider act, fetch or bill on its own is refused or taken out', async () => {
  await using stage = await setStage(answering('openai-responses', used))
  const gpt = await stage.enter('openai-responses')
  const opus = await stage.enter('anthropic-messages')
  const url = { type: 'image', source: { type: 'url', url: 'https://example.com/x.png' } }
  const denied: [Dialect, object][] = [
    ['openai-responses', { background: true }],
    ['openai-responses', { previous_response_id: 'resp_0' }],
    ['openai-responses', { service_tier: 'priority' }],
    ['anthropic-messages', { mcp_servers: [{ url: 'https://example.com' }] }],
    ['anthropic-messages', { speed: 'fast' }],
    ['anthropic-messages', { messages: [{ role: 'user', content: [url] }] }],
    [
      'anthropic-messages',
      { messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'file', file_id: 'f' } }] }] },
    ],
  ]
  for (const [dialect, extra] of denied) {
    const { path, body } = askIn(dialect, true, extra)
    const { key } = dialect === 'openai-responses' ? gpt : opus
    const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    assert.equal(heard.status, dialect === 'openai-responses' ? 400 : 403, JSON.stringify(extra))
  }
  assert.equal(stage.provider.arrived.length, 0)
  const tools = [{ type: 'function', name: 'a', n: 1 }, { type: 'web_search' }, { type: 'custom', name: 'b' }]
  const { path, body } = askIn('openai-responses', true, { tools })
  await tell(stage.gateway, { path, headers: { 'x-api-key': gpt.key }, body })
  assert.equal(stage.provider.arrived[0]!.body.toString(), body.replace('{"type":"web_search"},', ''))
  assert.deepEqual(stage.events.at(-2), {
    type: 'tools.stripped',
    attempt: gpt.attempt,
    task: 'task_1',
    tools: ['web_search'],
  })
})

test('a chat client that did not ask for usage does not see it, and is charged by it', async () => {
  await using stage = await setStage(answering('openai-chat', used))
  const { key } = await stage.enter('openai-chat')
  const { path, body } = askIn('openai-chat', true)
  const silent = body.replace(',"stream_options":{"include_usage":true}', '')
  const heard = await tell(stage.gateway, { path, headers: { authorization: `Bearer ${key}` }, body: silent })
  const whole = streamOf('openai-chat', used)
  assert.equal(
    heard.body.toString(),
    whole
      .split('\n\n')
      .filter((event) => !event.includes('"choices":[]'))
      .join('\n\n'),
  )
  assert.equal(
    stage.provider.arrived[0]!.body.toString(),
    silent.replace('{', '{"stream_options":{"include_usage":true},'),
  )
  assert.deepEqual((await books(stage)).charges, [{ how: 'exact', nanoUsd: priceOf('openai-chat') }])
})

test('a provider that bills after an abort is told a cap that the budget can pay', async () => {
  await using stage = await setStage(answering('gemini', used))
  const { key } = await stage.enter('gemini', { limitNanoUsd: 20_000_000 }) // $0.02
  const { path, body } = askIn('gemini', true, {}, 60_000)
  await tell(stage.gateway, { path, headers: { 'x-goog-api-key': key }, body })
  const bare = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'hi' }] }] })
  await tell(stage.gateway, { path, headers: { 'x-goog-api-key': key }, body: bare })
  const caps = stage.provider.arrived.map(
    (each) =>
      (JSON.parse(each.body.toString()) as { generationConfig: { maxOutputTokens: number } }).generationConfig
        .maxOutputTokens,
  )
  for (const cap of caps) assert.ok(cap > 1000 && cap * 3750 < 20_000_000, String(caps))
  assert.equal((await books(stage)).held, 0)
})

test('the free paths are served: hello without a key, models and token counts with one', async () => {
  await using stage = await setStage((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`"${request.method}"`)
  })
  const opus = await stage.enter('anthropic-messages')
  const gemini = await stage.enter('gemini')
  const { body } = askIn('anthropic-messages', false)
  assert.equal((await tell(stage.gateway, { method: 'HEAD', path: '/t/x/api/hello' })).status, 200)
  const heard = await Promise.all([
    tell(stage.gateway, { method: 'GET', path: '/v1/models', headers: { 'x-api-key': opus.key } }),
    tell(stage.gateway, { path: '/v1/messages/count_tokens', headers: { 'x-api-key': opus.key }, body }),
    tell(stage.gateway, {
      path: `/v1beta/models/${models.gemini}:countTokens`,
      headers: { 'x-goog-api-key': gemini.key },
      body: '{}',
    }),
  ])
  assert.deepEqual(
    heard.map(({ status, body: said }) => [status, said.toString()]),
    [
      [200, '"GET"'],
      [200, '"POST"'],
      [200, '"POST"'],
    ],
  )
  assert.deepEqual(await books(stage), { charges: [], held: 0, spent: 0 })
})

const shout = (url: string, text: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let heard = ''
    socket.on('data', (bytes) => (heard += bytes.toString()))
    socket.on('error', () => {})
    socket.on('close', () => resolve(heard.split('\r\n')[0]!))
    socket.write(text)
  })

test('hostile clients are turned away: upgrades, tunnels, floods, zipped bodies, and those who never finish', async () => {
  await using stage = await setStage(answering('anthropic-messages', used), {
    timeouts: { headersMs: 200, requestMs: 300 },
  })
  const { key } = await stage.enter('anthropic-messages')
  const head = `host: x\r\nx-api-key: ${key}\r\n`
  const { url } = stage.gateway
  const upgrade = `GET /v1/responses HTTP/1.1\r\n${head}connection: upgrade\r\nupgrade: websocket\r\n\r\n`
  assert.equal(await shout(url, upgrade), 'HTTP/1.1 403 Forbidden')
  assert.equal(await shout(url, `CONNECT example.com:443 HTTP/1.1\r\n${head}\r\n`), 'HTTP/1.1 403 Forbidden')
  assert.match(await shout(url, `GET / HTTP/1.1\r\n${head}x: ${'y'.repeat(70_000)}\r\n\r\n`), /431/)
  assert.match(await shout(url, 'POST /v1/messages HTTP/1.1\r\nhost'), /408/)
  const slow = shout(url, `POST /v1/messages HTTP/1.1\r\n${head}content-length: 10\r\n\r\n{`)
  assert.match(await slow, /408|^$/)
  const flood = `POST /v1/messages HTTP/1.1\r\n${head}content-length: 500000000\r\n\r\n{`
  assert.equal(await shout(url, flood), 'HTTP/1.1 413 Payload Too Large')
  assert.equal(
    await shout(
      url,
      `POST /v1/messages HTTP/1.1\r\n${head}content-encoding: gzip\r\ncontent-length: 2\r\nconnection: close\r\n\r\nxx`,
    ),
    'HTTP/1.1 403 Forbidden',
  )
  assert.deepEqual(stage.provider.arrived, [])
  assert.equal((await tell(stage.gateway, { method: 'HEAD', path: '/api/hello' })).status, 200)
})
