import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { maskStream } from './header.ts'
import { meterBody, meterStream } from './meter.ts'
import { bodyOf, dialects, streamOf, type Used } from './canned.ts'
import { takeUsage, nothingReported, tokensOf } from './usage.ts'
import type { Dialect } from './route.ts'

const used: fc.Arbitrary<Used> = fc.record({ input: fc.nat(200_000), cached: fc.nat(200_000), output: fc.nat(100_000) })
const words = fc.array(
  fc.oneof(fc.string({ unit: 'grapheme', maxLength: 30 }), fc.constant('"usage":{"output_tokens":9999999}\n\ndata: {')),
  { maxLength: 8 },
)
const cuts = fc.array(fc.nat(), { maxLength: 30 })

function* chunks(bytes: Buffer, at: readonly number[]): Generator<Buffer> {
  const edges = [...at.map((each) => each % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b)
  let from = 0
  for (const edge of edges) {
    yield Buffer.from(bytes.subarray(from, edge))
    from = edge
  }
}

const exact = ({ input, cached, output }: Used) => ({
  input: Math.max(input, 0),
  cachedInput: cached,
  cacheWrite: 0,
  cacheWriteHour: 0,
  output,
  webSearches: 0,
})

for (const dialect of dialects) {
  test(`the usage of a ${dialect} stream is exact and its bytes are the same, wherever the network cuts it`, () => {
    fc.assert(
      fc.property(used, words, cuts, (truth, text, at) => {
        const told = dialect === 'anthropic-messages' ? { ...truth, output: truth.output + 1 } : truth // begins with a placeholder of 1
        const bytes = Buffer.from(streamOf(dialect, told, text))
        const meter = meterStream(dialect)
        const out: Buffer[] = []
        for (const chunk of chunks(bytes, at)) out.push(Buffer.from(meter.push(chunk)))
        assert.equal(meter.end().length, 0, 'nothing is kept back after a whole event')
        assert.ok(Buffer.concat(out).equals(bytes))
        assert.deepEqual(tokensOf(meter.reported), exact(told))
        assert.equal(meter.reported.final, true)
        for (const event of out)
          assert.ok(event.length === 0 || /\n\r?\n$/.test(event.toString('latin1')), 'only whole events go on')
      }),
      { numRuns: 150 },
    )
  })

  test(`the usage of a ${dialect} answer in one piece is exact`, () => {
    fc.assert(
      fc.property(used, cuts, (truth, at) => {
        const bytes = Buffer.from(bodyOf(dialect, truth))
        const meter = meterBody(dialect)
        const out = [...chunks(bytes, at)].map((chunk) => meter.push(chunk))
        assert.ok(Buffer.concat([...out, meter.end()]).equals(bytes))
        assert.deepEqual([tokensOf(meter.reported), meter.reported.final], [exact(truth), true])
      }),
      { numRuns: 50 },
    )
  })
}

const taken = (dialect: Dialect, ...documents: object[]) => {
  const reported = nothingReported()
  for (const each of documents) takeUsage(dialect, each, reported)
  return { tokens: tokensOf(reported), extras: reported.extras, final: reported.final }
}

test('passes inside one Anthropic request are charged on top, each as its own model', () => {
  const pass = (type: string, input: number, output: number, model?: string) => ({
    type,
    model,
    input_tokens: input,
    output_tokens: output,
  })
  const iterations = [
    pass('compaction', 180_000, 3500),
    pass('message', 23_000, 1000),
    pass('advisor_message', 5000, 300, 'claude-fable-5-5'),
  ]
  const usage = { input_tokens: 23_000, output_tokens: 1000, iterations }
  const { tokens, extras } = taken('anthropic-messages', { type: 'message', usage })
  const rest = { cachedInput: 0, cacheWrite: 0, cacheWriteHour: 0, webSearches: 0 }
  assert.deepEqual(tokens, { input: 23_000, output: 1000, ...rest })
  assert.deepEqual(extras, [
    { model: null, tokens: { input: 180_000, output: 3500, ...rest } },
    { model: 'claude-fable-5-5', tokens: { input: 5000, output: 300, ...rest } },
  ])
})

test('an hour’s cache is told from a short one, and Gemini’s thoughts and tool prompts are counted', () => {
  const cache = {
    cache_creation_input_tokens: 300,
    cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
  }
  const usage = { input_tokens: 1, cache_read_input_tokens: 2, output_tokens: 3, ...cache }
  const claude = taken('anthropic-messages', { type: 'message_start', message: { usage } }).tokens
  assert.deepEqual(claude, {
    input: 1,
    cachedInput: 2,
    cacheWrite: 100,
    cacheWriteHour: 200,
    output: 3,
    webSearches: 0,
  })
  const metadata = {
    promptTokenCount: 100,
    toolUsePromptTokenCount: 7,
    cachedContentTokenCount: 40,
    candidatesTokenCount: 5,
    thoughtsTokenCount: 11,
  }
  const gemini = taken(
    'gemini',
    { usageMetadata: metadata },
    { usageMetadata: { promptTokenCount: 100, candidatesTokenCount: 4 } },
  )
  assert.deepEqual(gemini, {
    tokens: { input: 67, cachedInput: 40, cacheWrite: 0, cacheWriteHour: 0, output: 16, webSearches: 0 },
    extras: [],
    final: false,
  })
})

test('what was written for an hour is not charged again where a later count leaves out for how long it was written', () => {
  const created = { input_tokens: 3, cache_creation_input_tokens: 900, cache_read_input_tokens: 0, output_tokens: 1 }
  const cache_creation = { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 800 }
  const { tokens } = taken(
    'anthropic-messages',
    { type: 'message_start', message: { usage: { ...created, cache_creation } } },
    { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { ...created, output_tokens: 7 } },
  )
  assert.deepEqual([tokens.cacheWrite, tokens.cacheWriteHour], [100, 800])
})

test('where the parts of what was written are more than its sum, the parts count', () => {
  const usage = { input_tokens: 3, output_tokens: 1, cache_creation: { ephemeral_5m_input_tokens: 100 } }
  assert.equal(taken('anthropic-messages', { type: 'message', usage }).tokens.cacheWrite, 100)
})

test('an answer of which any count cannot be has no last word, and its input is not known', () => {
  for (const bad of [
    { input_tokens: '9' },
    { input_tokens: -1 },
    { cache_creation_input_tokens: 1.5 },
    { cache_read_input_tokens: 1e300 },
    { cache_creation: { ephemeral_1h_input_tokens: -2 } },
  ]) {
    const usage = { input_tokens: 5, cache_read_input_tokens: 1, output_tokens: 2, ...bad }
    const reported = nothingReported()
    takeUsage('anthropic-messages', { type: 'message', usage }, reported)
    assert.deepEqual([reported.final, reported.input], [false, false], JSON.stringify(bad))
  }
})

test('a chat server that counts with every chunk has not said its last word before its last chunk', () => {
  const chunk = (output: number, finish_reason: string | null = null) => ({
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: { content: 'x' }, finish_reason }],
    usage: { prompt_tokens: 10, completion_tokens: output },
  })
  assert.equal(taken('openai-chat', chunk(1), chunk(2)).final, false)
  assert.equal(taken('openai-chat', chunk(1), chunk(2, 'stop')).final, true)
  assert.equal(taken('openai-chat', chunk(1), { choices: [], usage: chunk(2).usage }).final, true)
  const events = [chunk(1), chunk(2)].map((each) => `data: ${JSON.stringify(each)}\n\n`).join('')
  for (const [text, final] of [
    [events, false],
    [`${events}data: [DONE]\n\n`, true],
    [`${events.replaceAll('"completion_tokens"', '"made"')}data: [DONE]\n\n`, false],
  ] as const) {
    const meter = meterStream('openai-chat')
    meter.push(Buffer.from(text))
    meter.end()
    assert.equal(meter.reported.final, final, text)
  }
})

test('counters that are no whole numbers are not believed', () => {
  for (const bad of [-5, 1.5, '7', null, Number.MAX_SAFE_INTEGER + 2, {}, [3]])
    assert.equal(taken('openai-chat', { usage: { prompt_tokens: 10, completion_tokens: bad } }).tokens.output, 0)
})

test('a line without an end is passed on and not kept', () => {
  const meter = meterStream('anthropic-messages', { maxLineBytes: 1000 })
  let out = 0
  for (let n = 0; n < 50; n++) out += meter.push(Buffer.from('data: ' + 'x'.repeat(94))).length
  assert.ok(out >= 4000, String(out))
  const rest = Buffer.from(`${'y'.repeat(50)}\n\n${streamOf('anthropic-messages', { input: 5, cached: 0, output: 7 })}`)
  out += meter.push(rest).length
  assert.equal(out, 5000 + rest.length)
  assert.equal(tokensOf(meter.reported).output, 7)
})

test('a key is masked wherever the network cuts it, and nothing else changes', () => {
  const key = 'sk-aab-aac'
  const text = fc
    .array(fc.constantFrom('sk-aab-aac', 'sk-aab-', 'sk-', 'aac', 's', 'xyz'), { maxLength: 12 })
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(text, cuts, (plain, at) => {
      const masker = maskStream(key)
      const out = [...chunks(Buffer.from(plain), at)].map((chunk) => Buffer.from(masker.push(chunk)))
      assert.equal(Buffer.concat([...out, masker.flush()]).toString(), plain.replaceAll(key, '*'.repeat(key.length)))
    }),
  )
})
