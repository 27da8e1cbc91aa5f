import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { anthropic } from './anthropic.ts'
import type { Ask, Dialect, Json, Reply } from './dialect.ts'
import { spoken } from './dialect.ts'
import { gemini } from './gemini.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'

const ask: Ask = {
  model: 'model-x',
  stream: true,
  system: '',
  user: 'hi',
  lastUser: 'hi',
  tools: [],
  toolResults: 0,
  marks: [],
  json: null,
  streamUsage: true,
}
const reply: Reply = {
  text: 'Grüße 👋!',
  call: { name: 'Write', args: { file_path: '/work/a', content: 'x "y"\n' } },
  tokens: { input: 1_000, cachedInput: 200, cacheWrite: 100, output: 50, thinking: 10 },
  id: 'abc',
  mark: 'r3',
  createdAt: 1_767_225_600_999,
}

/** What an answer says, told the same way for every dialect. `input` is the whole input. */
type Said = { text: string; name: string; args: unknown; input: number; cached: number; output: number; end: string }

// Decoders of this test's own: a few lines each, after the vendors' documents, sharing nothing with the encoders.
const at = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce((inner, key) => (inner as Record<string | number, unknown> | null | undefined)?.[key], value)
const number = (value: unknown, ...path: (string | number)[]): number => Number(at(value, ...path))
const text = (value: unknown, ...path: (string | number)[]): string => (at(value, ...path) ?? '') as string
const list = (value: unknown, ...path: (string | number)[]): unknown[] => (at(value, ...path) ?? []) as unknown[]
const parsed = (value: unknown, ...path: (string | number)[]): unknown => JSON.parse(text(value, ...path))

const payloads = (frames: readonly string[]): unknown[] =>
  frames.flatMap((frame) => {
    assert.match(frame, /^(event: [\w.]+\n)?data: [^\n]+\n\n$/)
    const payload = frame.slice(frame.indexOf('data: ') + 6).trim()
    return payload === '[DONE]' ? [] : [JSON.parse(payload) as unknown]
  })

type Decoder = { whole(body: unknown): Said; stream(all: readonly unknown[]): Said }

const anthropicDecoder: Decoder = {
  whole: (body) => ({
    text: text(body, 'content', 0, 'text'),
    name: text(body, 'content', 1, 'name'),
    args: at(body, 'content', 1, 'input'),
    input:
      number(body, 'usage', 'input_tokens') +
      number(body, 'usage', 'cache_creation_input_tokens') +
      number(body, 'usage', 'cache_read_input_tokens'),
    cached: number(body, 'usage', 'cache_read_input_tokens'),
    output: number(body, 'usage', 'output_tokens'),
    end: text(body, 'stop_reason'),
  }),
  stream(all) {
    const deltas = (index: number, field: string) =>
      all
        .filter((one) => at(one, 'index') === index)
        .map((one) => text(one, 'delta', field))
        .join('')
    const start = all.filter((one) => at(one, 'type') === 'content_block_start')
    const last = all.findLast((one) => at(one, 'type') === 'message_delta')
    assert.deepEqual(at(all.at(-1), 'type'), 'message_stop')
    const content = [
      { text: deltas(0, 'text') },
      { name: at(start[1], 'content_block', 'name'), input: JSON.parse(deltas(1, 'partial_json')) as unknown },
    ]
    return this.whole({ content, usage: at(last, 'usage'), stop_reason: at(last, 'delta', 'stop_reason') })
  },
}

const responsesDecoder: Decoder = {
  whole: (body) => ({
    text: text(body, 'output', 0, 'content', 0, 'text'),
    name: text(body, 'output', 1, 'name'),
    args: parsed(body, 'output', 1, 'arguments'),
    input: number(body, 'usage', 'input_tokens'),
    cached: number(body, 'usage', 'input_tokens_details', 'cached_tokens'),
    output: number(body, 'usage', 'output_tokens'),
    end: text(body, 'status'),
  }),
  stream(all) {
    assert.deepEqual(
      all.map((one) => at(one, 'sequence_number')),
      all.map((_, index) => index),
    )
    const deltas = (type: string) =>
      all
        .filter((one) => at(one, 'type') === type)
        .map((one) => text(one, 'delta'))
        .join('')
    const added = all.filter((one) => at(one, 'type') === 'response.output_item.added')
    const output = [
      { content: [{ text: deltas('response.output_text.delta') }] },
      { name: at(added[1], 'item', 'name'), arguments: deltas('response.function_call_arguments.delta') },
    ]
    const final = at(all.at(-1), 'response')
    return this.whole({ output, usage: at(final, 'usage'), status: at(final, 'status') })
  },
}

const chatDecoder: Decoder = {
  whole: (body) => ({
    text: text(body, 'choices', 0, 'message', 'content'),
    name: text(body, 'choices', 0, 'message', 'tool_calls', 0, 'function', 'name'),
    args: parsed(body, 'choices', 0, 'message', 'tool_calls', 0, 'function', 'arguments'),
    input: number(body, 'usage', 'prompt_tokens'),
    cached: number(body, 'usage', 'prompt_tokens_details', 'cached_tokens'),
    output: number(body, 'usage', 'completion_tokens'),
    end: text(body, 'choices', 0, 'finish_reason'),
  }),
  stream(all) {
    const choices = all.flatMap((one) => list(one, 'choices'))
    const calls = choices.flatMap((one) => list(one, 'delta', 'tool_calls'))
    const content = choices.map((one) => text(one, 'delta', 'content')).join('')
    const named = {
      name: at(calls[0], 'function', 'name'),
      arguments: calls.map((one) => text(one, 'function', 'arguments')).join(''),
    }
    const end = choices.map((one) => at(one, 'finish_reason')).find((reason) => reason !== null)
    const choice = { message: { content, tool_calls: [{ function: named }] }, finish_reason: end }
    return this.whole({ choices: [choice], usage: at(all.at(-1), 'usage') })
  },
}

const geminiDecoder: Decoder = {
  whole: (body) => ({
    text: text(body, 'candidates', 0, 'content', 'parts', 0, 'text'),
    name: text(body, 'candidates', 0, 'content', 'parts', 1, 'functionCall', 'name'),
    args: at(body, 'candidates', 0, 'content', 'parts', 1, 'functionCall', 'args'),
    input: number(body, 'usageMetadata', 'promptTokenCount'),
    cached: number(body, 'usageMetadata', 'cachedContentTokenCount'),
    output: number(body, 'usageMetadata', 'candidatesTokenCount') + number(body, 'usageMetadata', 'thoughtsTokenCount'),
    end: text(body, 'candidates', 0, 'finishReason'),
  }),
  stream(all) {
    const said = all.flatMap((one) => list(one, 'candidates', 0, 'content', 'parts'))
    const parts = [
      { text: said.map((part) => text(part, 'text')).join('') },
      said.find((part) => at(part, 'functionCall')),
    ]
    const candidate = { content: { parts }, finishReason: at(all.at(-1), 'candidates', 0, 'finishReason') }
    return this.whole({ candidates: [candidate], usageMetadata: at(all.at(-1), 'usageMetadata') })
  },
}

const decoders = {
  'anthropic-messages': anthropicDecoder,
  'openai-responses': responsesDecoder,
  'openai-chat': chatDecoder,
  gemini: geminiDecoder,
}

const ends = {
  'anthropic-messages': 'tool_use',
  'openai-responses': 'completed',
  'openai-chat': 'tool_calls',
  gemini: 'STOP',
}

for (const dialect of [anthropic, openaiResponses, openaiChat, gemini] satisfies Dialect[]) {
  describe(dialect.name, () => {
    const decoder = decoders[dialect.name]

    test('says the same whole and streamed, and what was to be said', () => {
      const expected: Said = {
        text: reply.text,
        name: 'Write',
        args: { file_path: '/work/a', content: 'x "y"\n' },
        input: 1_300,
        cached: 200,
        output: 50,
        end: ends[dialect.name],
      }
      assert.deepEqual(decoder.whole(dialect.encode(ask, reply)), expected)
      assert.deepEqual(decoder.stream(payloads(dialect.encodeStream(ask, reply))), expected)
    })

    test('the same reply is the same bytes', () => {
      assert.deepEqual(dialect.encodeStream(ask, reply), dialect.encodeStream({ ...ask }, { ...reply }))
      assert.equal(JSON.stringify(dialect.encode(ask, reply)), JSON.stringify(dialect.encode({ ...ask }, { ...reply })))
    })

    test('a reply without a word still begins and ends', () => {
      const frames = dialect.encodeStream(ask, { ...reply, text: '', call: null })
      assert.ok(payloads(frames).length >= 1)
      assert.match(frames.join(''), /message_stop|response\.completed|"finish_reason":"stop"|"finishReason":"STOP"/)
    })
  })
}

test('anthropic: a stream begins with one output token and its counters are cumulative', () => {
  const usages = payloads(anthropic.encodeStream(ask, reply)).flatMap(
    (one) => at(one, 'message', 'usage') ?? at(one, 'usage') ?? [],
  )
  const same = {
    input_tokens: 1_000,
    cache_creation_input_tokens: 100,
    cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 0 },
    cache_read_input_tokens: 200,
    service_tier: 'standard',
  }
  assert.deepEqual(usages, [
    { ...same, output_tokens: 1, output_tokens_details: { thinking_tokens: 0 } },
    { ...same, output_tokens: 50, output_tokens_details: { thinking_tokens: 10 } },
  ])
})

test('anthropic: the frames of a short answer are exactly those of the API', () => {
  const frames = anthropic.encodeStream(ask, { ...reply, text: 'Hi', call: null })
  const start = JSON.stringify({ ...(anthropic.encode(ask, reply) as object), content: [], stop_reason: null })
  assert.deepEqual(
    frames.map((frame) =>
      frame.replace(/"message":\{.*\}\}/, '"message":…}').replace(/"usage":\{.*\}\}/, '"usage":…}'),
    ),
    [
      'event: message_start\ndata: {"type":"message_start","message":…}\n\n',
      'event: ping\ndata: {"type":"ping"}\n\n',
      'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"H"}}\n\n',
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"i"}}\n\n',
      'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
      'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":…}\n\n',
      'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ],
  )
  assert.match(start, /"id":"msg_abc","type":"message","role":"assistant","model":"model-x","content":\[\]/)
})

test('openai: chat streams usage only when asked, in a last chunk without choices', () => {
  const withUsage = payloads(openaiChat.encodeStream(ask, reply))
  assert.deepEqual([at(withUsage.at(-1), 'choices'), at(withUsage.at(-1), 'usage', 'total_tokens')], [[], 1_350])
  assert.deepEqual(
    withUsage.slice(0, -1).map((one) => at(one, 'usage')),
    withUsage.slice(0, -1).map(() => null),
  )
  const silent = openaiChat.encodeStream({ ...ask, streamUsage: false }, reply)
  assert.deepEqual(
    payloads(silent).filter((one) => at(one, 'usage') !== undefined || list(one, 'choices').length === 0),
    [],
  )
  assert.equal(silent.at(-1), 'data: [DONE]\n\n')
})

test('openai: responses tells usage once, at the end, and writes freeform calls as custom ones', () => {
  const all = payloads(
    openaiResponses.encodeStream(ask, { ...reply, call: { name: 'apply_patch', freeform: '*** Begin' } }),
  )
  assert.deepEqual(
    all.filter((one) => at(one, 'response', 'usage')).map((one) => at(one, 'type')),
    ['response.completed'],
  )
  assert.deepEqual(
    at(
      all.find(
        (one) => at(one, 'item', 'type') === 'custom_tool_call' && at(one, 'type') === 'response.output_item.done',
      ),
      'item',
    ),
    {
      type: 'custom_tool_call',
      id: 'ctc_abc',
      status: 'completed',
      call_id: 'call_r3_abc',
      name: 'apply_patch',
      input: '*** Begin',
    },
  )
  assert.deepEqual(at(all.at(-1), 'response', 'usage'), {
    input_tokens: 1_300,
    input_tokens_details: { cached_tokens: 200, cache_write_tokens: 100 },
    output_tokens: 50,
    output_tokens_details: { reasoning_tokens: 10 },
    total_tokens: 1_350,
  })
})

test('gemini: every chunk carries usage that grows to the whole; thinking stands beside the candidates', () => {
  const all = payloads(gemini.encodeStream(ask, reply))
  assert.deepEqual(
    all.map((one) => [
      at(one, 'usageMetadata', 'candidatesTokenCount'),
      at(one, 'usageMetadata', 'thoughtsTokenCount'),
    ]),
    [
      [14, 10],
      [27, 10],
      [40, 10],
    ],
  )
  assert.deepEqual(at(all.at(-1), 'usageMetadata'), {
    promptTokenCount: 1_300,
    cachedContentTokenCount: 200,
    candidatesTokenCount: 40,
    thoughtsTokenCount: 10,
    totalTokenCount: 1_350,
  })
  assert.deepEqual(
    all.map((one) => at(one, 'candidates', 0, 'finishReason')),
    [undefined, undefined, 'STOP'],
  )
})

// Requests as the real clients send them, cut down to what is read.
const heard = { system: 'You are an agent.', user: 'Fix the bug', lastUser: 'Fix the bug', toolResults: 2 }

test('anthropic: Claude Code’s reminders, system turns and results are told apart from what a person said', () => {
  const result = { type: 'tool_result', tool_use_id: 'toolu_r1_a', content: 'ok' }
  const body: Json = {
    model: 'claude-opus-5-5',
    stream: true,
    system: [{ type: 'text', text: 'You are an agent.' }],
    tools: [
      { name: 'Bash', input_schema: { type: 'object', properties: { command: {} } } },
      { type: 'web_search_20250305', name: 'web_search' },
    ],
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: '<system-reminder>\ngitStatus: Fix the roof\n</system-reminder>\n' },
          { type: 'text', text: 'Fix the bug' },
        ],
      },
      { role: 'system', content: [{ type: 'text', text: '# Environment' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_r1_a', name: 'Bash', input: {} }] },
      { role: 'user', content: [result, { type: 'text', text: 'a note of the client, untagged' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_r1_b', name: 'Bash', input: {} }] },
      { role: 'user', content: [result] },
    ],
  }
  assert.deepEqual(anthropic.decode(body, '/v1/messages'), {
    ...heard,
    system: 'You are an agent.\n\n# Environment',
    model: 'claude-opus-5-5',
    stream: true,
    tools: [
      { name: 'Bash', form: 'json', keys: ['command'] },
      { name: 'web_search', form: 'json', keys: [] },
    ],
    marks: ['toolu_r1_a', 'toolu_r1_b'],
    json: null,
    streamUsage: true,
  })
  const resumed = { ...body, messages: [...(body.messages as Json[]), { role: 'user', content: 'Only JSON now' }] }
  const { user, lastUser, toolResults, marks } = anthropic.decode(resumed, '/v1/messages')
  assert.deepEqual(
    { user, lastUser, toolResults, marks },
    { user: 'Fix the bug\n\nOnly JSON now', lastUser: 'Only JSON now', toolResults: 0, marks: [] },
  )
})

test('openai: Codex’ environment, developer turns and custom tools are told apart', () => {
  const say = (role: string, text: string) => ({ type: 'message', role, content: [{ type: 'input_text', text }] })
  const body: Json = {
    model: 'gpt-5.5',
    stream: true,
    tools: [
      { type: 'function', name: 'exec_command', parameters: { properties: { cmd: {} } } },
      { type: 'custom', name: 'apply_patch' },
      { type: 'namespace', name: 'agents', tools: [{ type: 'function', name: 'spawn' }] },
      { type: 'web_search' },
    ],
    input: [
      say('developer', 'You are an agent.'),
      say('user', '<environment_context>\n  <cwd>/work</cwd>\n</environment_context>'),
      say('user', '# AGENTS.md instructions for /work\n\nFix the roof'),
      say('user', 'Fix the bug'),
      { type: 'reasoning', summary: [] },
      { type: 'custom_tool_call', call_id: 'call_r1_a', name: 'apply_patch', input: 'x' },
      { type: 'custom_tool_call_output', call_id: 'call_r1_a', output: 'ok' },
      { type: 'function_call', call_id: 'call_r1_b', name: 'exec_command', arguments: '{}' },
      { type: 'function_call_output', call_id: 'call_r1_b', output: 'ok' },
    ],
    text: { format: { type: 'json_schema', schema: { type: 'object' } } },
  }
  assert.deepEqual(openaiResponses.decode(body, '/v1/responses'), {
    ...heard,
    system: '\n\nYou are an agent.',
    model: 'gpt-5.5',
    stream: true,
    tools: [
      { name: 'exec_command', form: 'json', keys: ['cmd'] },
      { name: 'apply_patch', form: 'freeform', keys: [] },
      { name: 'agents', form: 'json', keys: [] },
      { name: 'spawn', form: 'json', keys: [] },
      { name: 'web_search', form: 'json', keys: [] },
    ],
    marks: ['call_r1_a', 'call_r1_b'],
    json: { schema: { type: 'object' } },
    streamUsage: true,
  })
  assert.equal(openaiResponses.decode({ model: 'm', input: 'plain words' }, '/v1/responses').user, 'plain words')
})

test('openai: chat messages of every role are told apart', () => {
  const body: Json = {
    model: 'fake-1',
    stream: false,
    messages: [
      { role: 'system', content: 'You are an agent.' },
      { role: 'user', content: [{ type: 'text', text: 'Fix the bug' }] },
      { role: 'assistant', content: null, tool_calls: [{ id: 'call_r1_a' }, { id: 'call_r1_b' }] },
      { role: 'tool', tool_call_id: 'call_r1_a', content: 'ok' },
      { role: 'tool', tool_call_id: 'call_r1_b', content: 'ok' },
    ],
    tools: [{ type: 'function', function: { name: 'bash', parameters: { properties: { command: {} } } } }],
  }
  assert.deepEqual(openaiChat.decode(body, '/v1/chat/completions'), {
    ...heard,
    model: 'fake-1',
    stream: false,
    tools: [{ name: 'bash', form: 'json', keys: ['command'] }],
    marks: ['call_r1_a', 'call_r1_b'],
    json: null,
    streamUsage: false,
  })
})

test('gemini: the session’s context is not speech, the mark travels in the signature, the path names model and manner', () => {
  const sent = at(payloads(gemini.encodeStream(ask, { ...reply, text: '' }))[0], 'candidates', 0, 'content')
  const result = { functionResponse: { name: 'write_file', response: { output: 'ok' } } }
  const body: Json = {
    systemInstruction: { parts: [{ text: 'You are an agent.' }] },
    contents: [
      {
        role: 'user',
        parts: [{ text: '<session_context>\nFix the roof\n</session_context>' }, { text: 'Fix the bug' }],
      },
      sent,
      { role: 'user', parts: [result] },
      sent,
      { role: 'user', parts: [result] },
    ],
    tools: [
      { functionDeclarations: [{ name: 'write_file', parametersJsonSchema: { properties: { file_path: {} } } }] },
    ],
    generationConfig: { responseMimeType: 'application/json', responseJsonSchema: { type: 'OBJECT' } },
  }
  assert.deepEqual(gemini.decode(body, '/t/1/v1beta/models/gemini-3-pro:streamGenerateContent'), {
    ...heard,
    model: 'gemini-3-pro',
    stream: true,
    tools: [{ name: 'write_file', form: 'json', keys: ['file_path'] }],
    marks: ['thought_r3_abc', 'thought_r3_abc'],
    json: { schema: { type: 'OBJECT' } },
    streamUsage: true,
  })
  assert.equal(gemini.decode(body, '/v1beta/models/gemini-3-pro:generateContent').stream, false)
})

test('each vendor words its errors its own way', () => {
  const all = [anthropic, openaiResponses, gemini].map((dialect) => dialect.encodeError(429, 'slow down'))
  assert.deepEqual(all, [
    { type: 'error', error: { type: 'rate_limit_error', message: 'slow down' } },
    { error: { message: 'slow down', type: 'requests', param: null, code: 'rate_limit_exceeded' } },
    {
      error: {
        code: 429,
        message: 'slow down',
        status: 'RESOURCE_EXHAUSTED',
        details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1s' }],
      },
    },
  ])
})

test('speech is what is left when the blocks a client put in front are taken away', () => {
  const block = '<system-reminder>a <b> c</system-reminder>\n'
  assert.deepEqual(
    [
      `${block}${block}do it`,
      block,
      'do <system-reminder>this</system-reminder> too',
      '# AGENTS.md instructions for /w\n\nx',
      'Your response above was cut off mid-stream. Resume directly.',
    ].map(spoken),
    ['do it', '', 'do <system-reminder>this</system-reminder> too', '', ''],
  )
})
