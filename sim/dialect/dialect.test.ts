import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { anthropic } from './anthropic.ts'
import type { Ask, Dialect, Reply } from './dialect.ts'
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

test('a call carries the mark of its rule where each client brings it back', () => {
  const called = [anthropic, openaiResponses, openaiChat].map((dialect) => JSON.stringify(dialect.encode(ask, reply)))
  assert.deepEqual(
    called.map((body) => /(toolu|call)_r3_abc/.exec(body)?.[0]),
    ['toolu_r3_abc', 'call_r3_abc', 'call_r3_abc'],
  )
  const thought = text(gemini.encode(ask, reply), 'candidates', 0, 'content', 'parts', 1, 'thoughtSignature')
  assert.equal(Buffer.from(thought, 'base64').toString('utf8'), 'thought_r3_abc')
})
