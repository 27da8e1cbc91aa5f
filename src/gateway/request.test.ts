import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { addedBytes, boundInput, type Anchor } from './estimate.ts'
import { askIn, dialects } from './canned.ts'
import { requestHeaders } from './header.ts'
import { readRequest } from './request.ts'
import { routeOf, upstreamUrl, type Dialect } from './route.ts'
import { elementsOf, membersOf, setMember, splice } from './splice.ts'

const json = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue(), { maxKeys: 6 })
const spaced = fc
  .tuple(json, fc.constantFrom(undefined, 1, '\t'))
  .map(([value, indent]) => Buffer.from(JSON.stringify(value, null, indent)))

test('setting one field changes that field and no other byte', () => {
  fc.assert(
    fc.property(spaced, fc.string({ unit: 'grapheme' }), fc.nat(), (text, key, value) => {
      fc.pre(key !== '__proto__')
      const before = JSON.parse(text.toString()) as Record<string, unknown>
      const edit = setMember(text, key, String(value))
      const after = splice(text, [edit])
      assert.deepEqual(JSON.parse(after.toString()), { ...before, [key]: value })
      assert.ok(after.subarray(0, edit.at.start).equals(text.subarray(0, edit.at.start)))
      assert.ok(after.subarray(edit.at.start + Buffer.byteLength(edit.by)).equals(text.subarray(edit.at.end)))
    }),
  )
})

test('members and elements stand where they are said to stand', () => {
  fc.assert(
    fc.property(spaced, fc.array(fc.jsonValue()), (text, values) => {
      const list = JSON.parse(JSON.stringify(values)) as unknown[] // JSON has no -0
      const value = JSON.parse(text.toString()) as Record<string, unknown>
      const members = membersOf(text)!
      assert.deepEqual([...members.keys()].toSorted(), Object.keys(value).toSorted())
      for (const [key, { start, end }] of members)
        assert.deepEqual(JSON.parse(text.toString('utf8', start, end)), value[key])
      const array = Buffer.from(JSON.stringify(list, null, 1))
      const parts = elementsOf(array, { start: 0, end: array.length })
      assert.deepEqual(
        parts.map(({ start, end }) => JSON.parse(array.toString('utf8', start, end)) as unknown),
        list,
      )
    }),
  )
})

test('a field given twice is seen, also when one of them is spelled with escapes', () => {
  assert.equal(membersOf(Buffer.from('{"a":1,"b":{"a":2},"a":3}')), null)
  assert.equal(membersOf(Buffer.from('{"a":1,"\\u0061":3}')), null)
  assert.deepEqual([...membersOf(Buffer.from(' { "a" : "}\\"," , "b":[{}] } '))!.keys()], ['a', 'b'])
})

function asked(dialect: Dialect, extra: object = {}, stream = true) {
  const { path, body } = askIn(dialect, stream, extra)
  const found = readRequest(routeOf('POST', path)!, Buffer.from(body))
  return { found, body }
}

for (const dialect of dialects)
  test(`a ${dialect} body is left as it is, and told a cap in the place that counts`, () => {
    const { found, body } = asked(dialect)
    assert.ok(!('refused' in found))
    assert.equal(found.body(null).toString(), body)
    assert.equal(found.body(500).toString(), body)
    assert.equal(found.body(77).toString(), body.replace('500', '77'))
  })

test('a server of another family is told a cap by the name that all of them know, OpenAI by its newer one', () => {
  const route = routeOf('POST', '/v1/chat/completions')!
  const capped = (family: string, body: object) => {
    const found = readRequest(route, Buffer.from(JSON.stringify(body)), {}, family)
    assert.ok(!('refused' in found))
    return JSON.parse(found.body(99).toString()) as object
  }
  const plain = { model: 'm', messages: [] }
  assert.deepEqual(capped('mistral', plain), { max_tokens: 99, ...plain })
  assert.deepEqual(capped('openai', plain), { max_completion_tokens: 99, ...plain })
  assert.deepEqual(capped('mistral', { ...plain, max_completion_tokens: 500 }), { ...plain, max_completion_tokens: 99 })
})

test('the Responses API is told to store nothing, also where the client leaves that out', () => {
  for (const store of [undefined, null]) {
    const { found } = asked('openai-responses', { store })
    assert.ok('body' in found)
    const sent = JSON.parse(found.body(70).toString()) as Record<string, unknown>
    assert.deepEqual([sent['store'], sent['max_output_tokens']], [false, 70])
  }
  const { found, body } = asked('openai-responses', { store: false })
  assert.ok('body' in found && found.body(null).toString() === body)
})

test('what could hide a second meaning or a dearer price is refused', () => {
  const cases: [Dialect, object][] = [
    ['gemini', { generation_config: { max_output_tokens: 9 } }],
    ['gemini', { generationConfig: { maxOutputTokens: 9, max_output_tokens: 99 } }],
    ['gemini', { generationConfig: { candidateCount: 4 } }],
    ['gemini', { cachedContent: 'cachedContents/x' }],
    ['gemini', { contents: [{ parts: [{ fileData: { fileUri: 'gs://x' } }] }] }],
    ['openai-chat', { n: 8 }],
    ['openai-chat', { max_tokens: 5 }],
    ['openai-chat', { modalities: ['text', 'audio'] }],
    [
      'openai-chat',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/y.png' } }] }] },
    ],
    ['openai-responses', { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] }],
    ['openai-responses', { input: [{ type: 'additional_tools', tools: [{ type: 'web_search' }] }] }],
    [
      'openai-responses',
      { input: [{ type: 'additional_tools', tools: [{ type: 'namespace', tools: [{ type: 'mcp' }] }] }] },
    ],
    ['openai-responses', { tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'code_interpreter' }] }] }],
    ['openai-responses', { input: [{ type: 'item_reference', id: 'msg_1' }] }],
    ['openai-responses', { input: [{ id: 'msg_1' }] }],
    ['openai-responses', { input: [{ id: 'msg_1', type: null }] }],
    ['openai-responses', { max_output_tokens: -1 }],
    ['anthropic-messages', { max_tokens: 1e99 }],
    ['anthropic-messages', { inference_geo: 'us' }],
  ]
  for (const [dialect, extra] of cases) assert.ok('refused' in asked(dialect, extra).found, JSON.stringify(extra))
  const route = routeOf('POST', '/v1/messages')!
  for (const text of ['', '[]', 'null', '{"model":', '{}', '{"model":7}', '['.repeat(100_000)])
    assert.ok('refused' in readRequest(route, Buffer.from(text)), text.slice(0, 20))
})

test('a field given twice is refused wherever it stands, because its provider may read the other one', () => {
  const bodies: [Dialect, string][] = [
    ['anthropic-messages', '"tools":[{"type":"web_search_20250305","type":"custom","name":"web_search"}]'],
    ['anthropic-messages', '"tools":[{"type":"web_search_20250305","t\\u0079pe":"custom","name":"web_search"}]'],
    ['anthropic-messages', '"x":[{"source":{"type":"url","url":"https://x","type":"base64"}}]'],
    ['openai-chat', '"stream_options":{"include_usage":false,"include_usage":true}'],
    ['gemini', '"tools":[{"googleSearch":{},"googleSearch":{}}]'],
    ['openai-responses', '"metadata":{"a":"{\\"a\\":1}","a":"}"}'],
  ]
  for (const [dialect, member] of bodies) {
    const { path, body } = askIn(dialect, true)
    const twice = body
      .replace(/"stream_options":\{[^}]*\},?/, '')
      .replace(/^\{/, `{${member},`)
      .replace(/,\}$/, '}')
    assert.ok(JSON.parse(twice), twice)
    const found = readRequest(routeOf('POST', path)!, Buffer.from(twice))
    assert.ok('refused' in found && found.refused === 'body-unfit', twice)
  }
  fc.assert(
    fc.property(spaced, (text) => {
      const written = `{"model":"m","max_tokens":9,"metadata":${text.toString()}}`
      assert.ok(!('refused' in readRequest(routeOf('POST', '/v1/messages')!, Buffer.from(written))), written)
    }),
  )
})

test('a name that some reader takes for one of ours, in other letters, is refused', () => {
  const cases: [Dialect, object][] = [
    ['openai-chat', { Model: 'gpt-6-terra' }],
    ['openai-chat', { N: 8 }],
    ['openai-chat', { Max_Completion_Tokens: 9e9 }],
    ['openai-chat', { TOOLS: [{ type: 'web_search' }] }],
    ['openai-chat', { '\u017ftream': false }],
    ['openai-responses', { Background: true }],
    ['anthropic-messages', { mcp_ſervers: [{}] }],
    ['gemini', { GenerationConfig: {} }],
    ['gemini', { generationConfig: { MaxOutputTokens: 9e9 } }],
  ]
  for (const [dialect, extra] of cases) assert.ok('refused' in asked(dialect, extra).found, JSON.stringify(extra))
  for (const extra of [{ metadata: { Model: 'x', model: 'y' } }, { Reasoning: 1 }])
    assert.ok(!('refused' in asked('openai-chat', extra).found), JSON.stringify(extra))
})

test('what is no list of tools, or no object of settings, is not passed on unread', () => {
  for (const tools of [{ googleSearch: {} }, { 0: { type: 'web_search' } }, 'web_search', 7, true])
    for (const dialect of dialects)
      assert.ok('refused' in asked(dialect, { tools }).found, `${dialect} ${JSON.stringify(tools)}`)
  for (const generationConfig of [[], [{ maxOutputTokens: 9 }], 'x', 7, true])
    assert.ok('refused' in asked('gemini', { generationConfig }).found, JSON.stringify(generationConfig))
  const { found } = asked('gemini', { tools: null, generationConfig: null })
  assert.ok(!('refused' in found))
  assert.deepEqual((JSON.parse(found.body(77).toString()) as Record<string, unknown>)['generationConfig'], {
    maxOutputTokens: 77,
  })
})

test('a reference to what is elsewhere is seen however it is dressed', () => {
  const image = (url: string) => ({
    messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
  })
  const input = [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }]
  const source = { type: 'url', url: 'https://x/y.png', media_type: 'image/png' }
  const cases: [Dialect, object][] = [
    ['openai-chat', image(' https://x/y.png')],
    ['openai-chat', image('//x/y.png')],
    ['openai-responses', { type: 'tool_use', input }],
    ['anthropic-messages', { messages: [{ role: 'user', content: [{ type: 'image', source }] }] }],
  ]
  for (const [dialect, extra] of cases) assert.ok('refused' in asked(dialect, extra).found, JSON.stringify(extra))
  const { found } = asked('openai-chat', image('data:image/png;base64,AAAA'))
  assert.ok(!('refused' in found) && found.images === 1)
  const screen = { type: 'computer_call_output', output: { type: 'computer_screenshot', image_url: 'data:,' } }
  const seen = asked('openai-responses', { input: [screen] }).found
  assert.ok(!('refused' in seen) && seen.images === 1)
})

test('tools of the client itself may stand within the conversation, in namespaces too', () => {
  const tools = [
    { type: 'namespace', name: 'functions', tools: [{ type: 'custom', name: 'exec' }, { type: 'function' }] },
  ]
  const { found, body } = asked('openai-responses', { input: [{ type: 'additional_tools', role: 'developer', tools }] })
  assert.ok(!('refused' in found))
  assert.equal(found.body(null).toString(), body)
})

test('what a tool was called with is not looked into', () => {
  const call = {
    type: 'tool_use',
    id: 't',
    name: 'f',
    input: { file_id: 'x', type: 'image', source: { type: 'url', url: 'https://x' } },
  }
  const { found } = asked('anthropic-messages', { messages: [{ role: 'assistant', content: [call] }] })
  assert.ok(!('refused' in found))
  assert.equal(found.images, 0)
})

test('a nesting deeper than any stack is no crash', () => {
  const deep = `{"model":"m","max_tokens":1,"messages":${'['.repeat(50_000)}${']'.repeat(50_000)}}`
  assert.ok(!('refused' in readRequest(routeOf('POST', '/v1/messages')!, Buffer.from(deep))))
})

test('only the paths of the list are routes', () => {
  for (const path of [
    '/v1/messages',
    '/t/a-1/v1/messages?beta=true',
    '/v1/responses',
    '/t/x/v1beta/models/gemini-3.8-flash:countTokens',
  ])
    assert.ok(routeOf('POST', path), path)
  for (const path of [
    '/v1/messages/',
    '/v1//messages',
    '/t/../v1/messages',
    '/v1/messages%2f',
    '/v1/files',
    '/v1/batches',
    'http://h/v1/messages',
    '*',
    '/x/v1/messages',
    '/v1beta/models/a/b:generateContent',
    '/v1beta/models/x:batchGenerateContent',
    '/__proto__',
    '/v1/messages\\',
  ])
    assert.equal(routeOf('POST', path), null, path)
  assert.equal(routeOf('DELETE', '/v1/messages'), null)
  assert.equal(routeOf('POST', '/t/x/v1/messages?beta=true&key=secret&access_token=s')!.path, '/v1/messages?beta=true')
  assert.equal(upstreamUrl('https://api.example.com/v1/', '/v1/responses').href, 'https://api.example.com/v1/responses')
  assert.equal(
    upstreamUrl('https://example.com/openai', '/v1/responses').href,
    'https://example.com/openai/v1/responses',
  )
})

const plain = { model: 'm', terms: '', images: 0, opaque: false, cachesHour: false, context: 1_000_000 }

test('input is bounded by bytes, by the window where content is opaque, and by an earlier bill where the talk grew', () => {
  const raw = Buffer.from('y'.repeat(100_000))
  assert.equal(boundInput({ ...plain, raw }, []), 102_000)
  assert.equal(boundInput({ ...plain, raw, opaque: true }, []), 1_000_000)
  assert.equal(boundInput({ ...plain, raw, images: 2 }, []), 118_000)
  assert.equal(boundInput({ ...plain, raw, context: 50_000 }, []), 50_000)
  const anchor: Anchor = { model: 'm', terms: '', body: raw.subarray(0, 90_000), tokens: 20_000 }
  assert.equal(boundInput({ ...plain, raw }, [anchor]), 32_000)
  assert.equal(boundInput({ ...plain, raw }, [{ ...anchor, model: 'other' }]), 102_000)
})

test('an earlier bill bounds no request whose provider is to leave out other parts of it', () => {
  const termsOf = (dialect: Dialect, extra: object) => {
    const { found } = asked(dialect, extra)
    assert.ok(!('refused' in found))
    return found.terms
  }
  const edits = { context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] } }
  const all = [
    termsOf('anthropic-messages', {}),
    termsOf('anthropic-messages', edits),
    termsOf('anthropic-messages', { thinking: { type: 'enabled', budget_tokens: 2000 } }),
    termsOf('openai-responses', { truncation: 'auto' }),
    termsOf('openai-responses', { reasoning: { effort: 'high' } }),
  ]
  assert.equal(new Set(all).size, all.length)
  assert.equal(termsOf('anthropic-messages', { ...edits, metadata: { user_id: 'u' } }), all[1])
  const plain = { images: 0, opaque: false, cachesHour: false, references: [], model: 'm', context: null }
  const raw = Buffer.alloc(100_000)
  const anchor: Anchor = { model: 'm', terms: all[1]!, body: raw, tokens: 20_000 }
  const bounds = [all[1]!, all[0]!].map((terms) => boundInput({ ...plain, raw, terms }, [anchor]))
  assert.deepEqual(bounds, [22_000, 102_000])
})

test('the bytes added to a body are never undercounted', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (head, old, fresh, tail) => {
      const before = Buffer.from(head + old + tail)
      const next = Buffer.from(head + fresh + tail)
      const added = addedBytes(before, next)
      assert.ok(added <= Buffer.byteLength(fresh) && added >= next.length - before.length && added >= 0)
    }),
  )
})

test('a window wider than the one that was held for is not asked for', () => {
  const beta = 'context-1m-2025-08-07'
  const asked = (context: number | null, value: string) => {
    const options = { dialect: 'anthropic-messages', virtualKey: 'vk', realKey: 'k', bytes: 0, context } as const
    const { 'x-api-key': _, 'accept-encoding': __, ...rest } = requestHeaders({ 'anthropic-beta': value }, options)
    return rest
  }
  assert.deepEqual(asked(200_000, `a, ${beta},b`), { 'anthropic-beta': 'a,b' })
  assert.deepEqual(asked(200_000, beta), {})
  assert.deepEqual(asked(1_000_000, `a, ${beta},b`), { 'anthropic-beta': `a, ${beta},b` })
  assert.deepEqual(asked(null, beta), { 'anthropic-beta': beta })
  assert.deepEqual(asked(200_000, 'a, b'), { 'anthropic-beta': 'a, b' })
})

test('a header that would lead a request elsewhere than its path, or to another price, does not leave', () => {
  const options = { dialect: 'gemini', virtualKey: 'vk', realKey: 'sk', bytes: 1, context: null } as const
  const own = { 'user-agent': 'x', 'x-stainless-lang': 'js', 'x-goog-api-client': 'y', 'openai-beta': 'z' }
  const leading = [
    ['x-http-method-override', 'GET'],
    ['x-http-method', 'GET'],
    ['x-method-override', 'GET'],
    ['x-original-url', '/v1/batches'],
    ['x-rewrite-url', '/v1/batches'],
    ['x-vertex-ai-llm-shared-request-type', 'priority'],
    ['x-vertex-ai-llm-request-type', 'dedicated'],
    ['x-portkey-config', 'pc-1'],
    ['helicone-target-url', 'https://elsewhere'],
    ['cf-aig-metadata', '{}'],
    ['x-litellm-tags', 'x'],
  ] as const
  const left = requestHeaders({ ...own, ...Object.fromEntries(leading) }, options)
  assert.deepEqual(left, { ...own, 'accept-encoding': 'identity', 'content-length': 1, 'x-goog-api-key': 'sk' })
  const betas = requestHeaders({ 'anthropic-beta': 'Context-1M-2025-08-07, a' }, { ...options, context: 200_000 })
  assert.equal(betas['anthropic-beta'], 'a')
})
