import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { addedTokens, defaultAllowance, type ProviderTools } from '../core/provider-tool.ts'
import { isRefusal } from '../core/refusal.ts'
import { askIn, bodyOf, dialects, familyFor, streamOf } from './canned.ts'
import { answering, books, realKey, setStage, tell, used, type Script } from './rehearsal.ts'
import { readRequest } from './request.ts'
import { routeOf, type Dialect } from './route.ts'

const allow = (uses: number, useNanoUsd: number | null = null, tokens = 1000) => ({ uses, tokens, useNanoUsd })

function asked(dialect: Dialect, extra: object, named: ProviderTools = {}) {
  const { path, body } = askIn(dialect, true, extra)
  const found = readRequest(routeOf('POST', path)!, Buffer.from(body), named)
  assert.ok(!isRefusal(found), JSON.stringify(found))
  return {
    ...found,
    sent: JSON.parse(found.body(null).toString()) as Record<string, unknown>,
    same: found.body(null).toString() === body,
  }
}

const own: Readonly<Record<Dialect, object>> = {
  'anthropic-messages': { name: 'mine', input_schema: {} },
  'openai-responses': { type: 'function', name: 'mine' },
  'openai-chat': { type: 'function', function: { name: 'mine' } },
  gemini: { functionDeclarations: [{ name: 'mine' }] },
}
const theirs: Readonly<Record<Dialect, object[]>> = {
  'anthropic-messages': [
    { type: 'web_search_20250305', name: 'web_search', max_uses: 8 },
    { type: 'web_fetch_20250910', name: 'web_fetch' },
    { type: 'code_execution_20250825', name: 'code_execution' },
    { type: 'mcp_toolset', mcp_server_name: 's' },
    { type: 'advisor_20260301', name: 'advisor' },
  ],
  'openai-responses': [
    { type: 'web_search', external_web_access: true },
    { type: 'web_search_preview_2025_03_11' },
    { type: 'code_interpreter', container: { type: 'auto' } },
    { type: 'file_search', vector_store_ids: ['vs_1'] },
    { type: 'mcp', server_url: 'https://x', server_label: 'x' },
    { type: 'image_generation' },
    { type: 'computer_use_preview' },
  ],
  'openai-chat': [{ type: 'web_search' }],
  gemini: [
    { googleSearch: {} },
    { google_search: {} },
    { urlContext: {} },
    { codeExecution: {} },
    { googleMaps: {} },
    { fileSearch: { fileSearchStoreNames: ['x'] } },
  ],
}

for (const dialect of dialects)
  test(`in ${dialect} whatever the provider would do itself is taken out unless it is named, and what is named alone stays`, () => {
    const tools = [own[dialect], ...theirs[dialect]]
    const none = asked(dialect, { tools })
    assert.deepEqual(
      [none.sent['tools'], none.stripped.length, none.passed],
      [[own[dialect]], theirs[dialect].length, []],
    )
    const some = asked(dialect, { tools }, { web_search: allow(3), remote_urls: defaultAllowance })
    const left = (some.sent['tools'] as object[]).filter((tool) => JSON.stringify(tool).includes('earch'))
    const kept = dialect === 'openai-chat' ? 0 : dialect === 'anthropic-messages' ? 1 : 2
    assert.deepEqual(
      [left.length, some.passed],
      [kept, Array.from({ length: kept }, () => ({ tool: 'web_search', uses: 3 }))],
    )
    assert.equal(some.stripped.length, theirs[dialect].length - kept)
  })

test('what is let through is told how often it may be, where a field says that; a client may ask for less', () => {
  const [search, fetch] = theirs['anthropic-messages']
  const named = { web_search: allow(3), web_fetch: allow(2, null, 5000) }
  const claude = asked('anthropic-messages', { tools: [search, fetch] }, named)
  assert.deepEqual(claude.sent['tools'], [
    { ...search, max_uses: 3 },
    { ...fetch, max_uses: 2, max_content_tokens: 5000 },
  ])
  const less = asked('anthropic-messages', { tools: [{ ...search, max_uses: 1 }] }, named)
  assert.deepEqual([less.same, less.passed], [true, [{ tool: 'web_search', uses: 1 }]])
  const gpt = (extra: object) =>
    asked('openai-responses', { tools: theirs['openai-responses'].slice(0, 1), ...extra }, named)
  assert.deepEqual(
    [{}, { max_tool_calls: 2 }, { max_tool_calls: 99 }, { max_tool_calls: 'many' }].map(
      (extra) => gpt(extra).sent['max_tool_calls'],
    ),
    [3, 2, 3, 3],
  )
  assert.equal(asked('openai-responses', { tools: [own['openai-responses']] }, named).same, true)
})

test('a tool that says two things at once, or stands where it cannot be told how often, does not pass', () => {
  const { path, body } = askIn('anthropic-messages', true, { tools: ['HERE'] })
  const twice = body.replace('"HERE"', '{"type":"web_search_20250305","name":"web_search","max_uses":99,"max_uses":1}')
  assert.ok(isRefusal(readRequest(routeOf('POST', path)!, Buffer.from(twice), { web_search: allow(3) })))
  const hidden = askIn('openai-responses', true, {
    tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'web_search' }] }],
  })
  assert.ok(isRefusal(readRequest(routeOf('POST', hidden.path)!, Buffer.from(hidden.body), { web_search: allow(3) })))
})

test('servers, remote URLs, file ids and stored responses pass where they are named, and are as large as the window', () => {
  const refused = (dialect: Dialect, extra: object) => {
    const { path, body } = askIn(dialect, true, extra)
    return isRefusal(readRequest(routeOf('POST', path)!, Buffer.from(body)))
  }
  const image = {
    messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'https://x/y.png' } }] }],
  }
  const file = { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] }
  const earlier = { previous_response_id: 'resp_1', store: true }
  const servers = { mcp_servers: [{ type: 'url', url: 'https://x', name: 'x' }] }
  const cases: [Dialect, object, ProviderTools][] = [
    ['anthropic-messages', image, { remote_urls: defaultAllowance }],
    ['openai-responses', file, { file_ids: defaultAllowance }],
    ['openai-responses', earlier, { stored_responses: defaultAllowance }],
    ['openai-responses', { input: [{ type: 'item_reference', id: 'm' }] }, { stored_responses: defaultAllowance }],
  ]
  for (const [dialect, extra, named] of cases) {
    assert.ok(refused(dialect, extra), JSON.stringify(extra))
    const { opaque, references, same } = asked(dialect, { store: false, ...extra }, named)
    assert.deepEqual([opaque, references, same], [true, Object.keys(named), true])
  }
  assert.ok(refused('anthropic-messages', servers))
  assert.deepEqual(asked('anthropic-messages', servers, { mcp: allow(4) }).passed, [{ tool: 'mcp', uses: 4 }])
  for (const extra of [
    { background: true },
    { input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'https://x' }] }] },
  ])
    assert.ok(refused('openai-responses', extra))
})

test('input that uses add is everything read so far once more after each, and never more than windows', () => {
  const passed = [{ tool: 'web_search' as const, uses: 2, tokens: 100, useNanoUsd: 0 }]
  assert.equal(addedTokens(passed, 1000, 1_000_000), 1100 + 1200)
  assert.equal(addedTokens(passed, 1000, 1150), 1100 + 1150)
  assert.equal(addedTokens([], 1000, 1_000_000), 0)
})

const search = { tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 9 }] }
const upstreams = (url: string, tools: ProviderTools) => ({
  upstreams: (['anthropic', 'openai', 'google'] as const).map((family) => ({
    family,
    baseUrl: url,
    key: () => realKey,
    tools,
  })),
})
const setTools = (script: Script, tools: ProviderTools, limits = {}) =>
  setStage(script, { limits: { pace: null, ...limits }, over: (url) => upstreams(url, tools) })

const tokensUsd = 1000 * 4000 + 200 * 200 + 50 * 20_000 // of `used` by claude-opus-5-5

/** Anthropic's answer with so many searches seen on the way and reported at the end. */
const searching =
  (seen: number, reported: unknown, last = true): Script =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const blocks = Array.from({ length: seen }, (_each, index) => {
      const block = {
        type: 'content_block_start',
        index: index + 1,
        content_block: { type: 'server_tool_use', name: 'web_search' },
      }
      return `event: content_block_start\ndata: ${JSON.stringify(block)}\n\n`
    })
    const whole = streamOf('anthropic-messages', used).replace(
      '"usage":{"output_tokens":50}',
      `"usage":{"output_tokens":50,"server_tool_use":{"web_search_requests":${JSON.stringify(reported)}}}`,
    )
    const at = whole.indexOf('event: message_delta')
    response.end(whole.slice(0, at) + blocks.join('') + (last ? whole.slice(at) : ''))
  }

async function askOnce(
  script: Script,
  tools: ProviderTools,
  extra: object = search,
  dialect: Dialect = 'anthropic-messages',
) {
  await using stage = await setTools(script, tools)
  const { key, attempt } = await stage.enter(dialect)
  const { path, body } = askIn(dialect, true, extra)
  const heard = await tell(stage.gateway, {
    path,
    headers: { authorization: `Bearer ${key}`, 'x-goog-api-key': key },
    body,
  })
  const { charges, held } = await books(stage)
  const { uses, nanoUsd } = stage.gateway.report(attempt).tools
  return { heard, charges, held, uses, nanoUsd, arrived: stage.provider.arrived.length, events: stage.events }
}

test('searches that were let through are charged at their list price, once, and said', async () => {
  const { charges, held, uses, nanoUsd, events } = await askOnce(searching(2, 2), { web_search: allow(3) })
  assert.deepEqual(charges, [{ how: 'exact', nanoUsd: tokensUsd + 20_000_000 }])
  assert.deepEqual([held, uses, nanoUsd], [0, { web_search: 2 }, 20_000_000])
  assert.deepEqual(events[0], { type: 'tools.passed', attempt: 'attempt_1', task: 'task_1', tools: ['web_search'] })
})

test('the operator’s own price of a use wins over the list', async () => {
  const { charges } = await askOnce(searching(2, 2), { web_search: allow(3, 1_000_000) })
  assert.deepEqual(charges, [{ how: 'exact', nanoUsd: tokensUsd + 2_000_000 }])
})

test('a provider that searched more often than it was told is charged for all of it', async () => {
  for (const [seen, reported] of [
    [2, 100],
    [100, 2],
  ] as const) {
    const { charges, uses } = await askOnce(searching(seen, reported), { web_search: allow(3) })
    assert.deepEqual([charges[0]!.nanoUsd, uses], [tokensUsd + 1_000_000_000, { web_search: 100 }])
  }
})

test('where a count cannot be, or the last word is missing, all that was held for searches is kept', async () => {
  for (const wrong of [-1, 1e9, 'many', 1.5]) {
    const { charges } = await askOnce(searching(1, wrong), { web_search: allow(3) })
    assert.deepEqual(charges, [{ how: 'exact', nanoUsd: tokensUsd + 30_000_000 }], String(wrong))
  }
  const { charges, held } = await askOnce(searching(1, 1, false), { web_search: allow(3) })
  const input = Buffer.byteLength(askIn('anthropic-messages', true, search).body) + 2000
  const read = input + (input + 1000) + (input + 2000) + (input + 3000)
  assert.deepEqual([charges.map(({ how }) => how), held], [['estimated'], 0])
  assert.ok(charges[0]!.nanoUsd >= read * 5000 + 30_000_000, `${charges[0]!.nanoUsd} of ${read} tokens`)
})

test('searches of OpenAI’s are counted by its items, of Google’s by its queries', async () => {
  const items = (count: number) =>
    Array.from({ length: count }, () => ({ type: 'web_search_call', status: 'completed' }))
  const gpt =
    (output: unknown, done: number): Script =>
    (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const each = items(done).map(
        (item) => `data: ${JSON.stringify({ type: 'response.output_item.done', sequence_number: 1, item })}\n\n`,
      )
      const whole = streamOf('openai-responses', used)
      const at = whole.lastIndexOf('event: response.completed')
      const last = whole
        .slice(at)
        .replace('"output":[]', output === undefined ? '"nothing":1' : `"output":${JSON.stringify(output)}`)
      response.end(whole.slice(0, at) + each.join('') + last)
    }
  const tools = { tools: [{ type: 'web_search' }] }
  for (const [script, uses] of [
    [gpt(items(2), 2), 2],
    [gpt([], 2), 2],
    [gpt(items(3), 0), 3],
    [gpt([], 0), undefined],
    [gpt(undefined, 0), 4],
  ] as const) {
    const heard = await askOnce(script, { web_search: allow(4) }, tools, 'openai-responses')
    assert.deepEqual([heard.uses['web_search'], heard.nanoUsd], [uses, (uses ?? 0) * 10_000_000])
  }
  const gemini: Script = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const grounded = (webSearchQueries: string[]) =>
      `data: ${JSON.stringify({ candidates: [{ index: 0, groundingMetadata: { webSearchQueries } }] })}\r\n\r\n`
    response.end(grounded(['a']) + grounded(['a', 'b']) + streamOf('gemini', used))
  }
  const google = { tools: [{ googleSearch: {} }] }
  const { uses, nanoUsd } = await askOnce(gemini, { web_search: allow(3, 14_000_000) }, google, 'gemini')
  assert.deepEqual([uses, nanoUsd], [{ web_search: 2 }, 28_000_000])
})

test('a tool without a known price is refused with the setting that says it, before anything is held', async () => {
  const cases: [Dialect, object, ProviderTools, string][] = [
    ['gemini', { tools: [{ googleSearch: {} }] }, { web_search: allow(3) }, 'providerTools.google.web_search.price'],
    [
      'openai-responses',
      { tools: [{ type: 'file_search' }] },
      { file_search: allow(3) },
      'providerTools.openai.file_search.price',
    ],
    [
      'anthropic-messages',
      { tools: [{ type: 'code_execution_20250825' }] },
      { code_execution: allow(3) },
      'providerTools.anthropic.code_execution.price',
    ],
  ]
  for (const [dialect, extra, tools, setting] of cases) {
    const { heard, charges, arrived } = await askOnce(answering(dialect, used), tools, extra, dialect)
    assert.match(heard.body.toString(), /no price is known for/)
    assert.ok(heard.body.toString().includes(setting), heard.body.toString())
    assert.deepEqual([arrived, charges], [0, []])
  }
})

test('a judge’s requests have no tools of the provider’s, whatever is named', async () => {
  await using stage = await setTools(answering('anthropic-messages', used), { web_search: allow(3) })
  const { key } = await stage.enter('anthropic-messages', { stage: 'review' })
  const { path, body } = askIn('anthropic-messages', true, search)
  await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.deepEqual((JSON.parse(stage.provider.arrived[0]!.body.toString()) as { tools: unknown }).tools, [])
  assert.deepEqual(stage.events[0], {
    type: 'tools.stripped',
    attempt: 'attempt_1',
    task: 'task_1',
    tools: ['web_search_20250305'],
  })
})

test('a provider that searches as often as it may and reads all it may is never paid beyond the limit', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ uses: fc.nat({ max: 5 }), read: fc.nat({ max: 2000 }), breaks: fc.boolean() }), {
        minLength: 1,
        maxLength: 8,
      }),
      fc.integer({ min: 20_000_000, max: 600_000_000 }),
      async (turns, limitNanoUsd) => {
        let bill = 0
        let turn = 0
        const script: Script = (_, response, body) => {
          const { uses, read, breaks } = turns[turn++ % turns.length]!
          const { tools, max_tokens: cap } = JSON.parse(body.toString()) as {
            tools: [{ max_uses: number }]
            max_tokens: number
          }
          const done = Math.min(uses, tools[0].max_uses)
          const asked = Math.ceil(body.length / 4)
          const input =
            asked +
            Array.from({ length: done }, (_each, index) => asked + (index + 1) * read).reduce((a, b) => a + b, 0)
          const output = Math.min(60, cap)
          bill += input * 4000 + output * 20_000 + done * 10_000_000
          const blocks = Array.from({ length: done }, () => ({ type: 'server_tool_use', name: 'web_search' }))
          const usage = { input_tokens: input, output_tokens: output, server_tool_use: { web_search_requests: done } }
          response.writeHead(200, { 'content-type': 'application/json' })
          if (breaks) return void response.end('{"type":"message"')
          response.end(JSON.stringify({ type: 'message', content: blocks, usage }))
        }
        await using stage = await setTools(script, { web_search: allow(3, null, 2000) })
        const { key } = await stage.enter('anthropic-messages', { limitNanoUsd })
        const { path, body } = askIn('anthropic-messages', false, search)
        await Promise.all(turns.map(() => tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })))
        const { spent, held } = await books(stage)
        assert.ok(
          bill <= spent && spent <= limitNanoUsd && held === 0,
          `bill ${bill}, spent ${spent} of ${limitNanoUsd}`,
        )
      },
    ),
    { numRuns: 25 },
  )
})

test('what a provider did in an answer of one piece is counted too', async () => {
  const used3 = { type: 'server_tool_use', name: 'web_search' }
  const script: Script = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const answer = JSON.parse(bodyOf('anthropic-messages', used)) as { content: object[] }
    response.end(JSON.stringify({ ...answer, content: [used3, used3, ...answer.content] }))
  }
  await using stage = await setTools(script, { web_search: allow(3) })
  const { key } = await stage.enter('anthropic-messages', { family: familyFor['anthropic-messages'] })
  const { path, body } = askIn('anthropic-messages', false, search)
  await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.deepEqual((await books(stage)).charges, [{ how: 'exact', nanoUsd: tokensUsd + 20_000_000 }])
})

test('while a provider may still search, what its searches may add stays held, also after it has said what was read first', async () => {
  const heldAt = Promise.withResolvers<number>()
  const script: Script = async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const [first, ...rest] = streamOf('anthropic-messages', used).split(/(?<=\n\n)/)
    response.write(first)
    await heldAt.promise
    response.end(rest.join(''))
  }
  await using stage = await setTools(script, { web_search: allow(3) })
  const { key } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true, search)
  const look = () => void books(stage).then(({ held }) => heldAt.resolve(held))
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body, onData: look })
  const asked = Buffer.byteLength(body) + 2000
  assert.equal(heard.status, 200)
  const held = await heldAt.promise
  assert.ok(held >= (4 * asked + 6000) * 5000 + 30_000_000, String(held))
  assert.deepEqual((await books(stage)).charges, [{ how: 'exact', nanoUsd: tokensUsd }])
})

test('what is let through is said once for an attempt, however often it asks', async () => {
  await using stage = await setTools(searching(0, 0), { web_search: allow(3) })
  const { key } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true, search)
  for (let times = 0; times < 3; times++) await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal(stage.events.filter(({ type }) => type === 'tools.passed').length, 1)
})
