import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anthropic } from './dialect/anthropic.ts'
import type { Ask, Reply } from './dialect/dialect.ts'
import { gemini } from './dialect/gemini.ts'
import { openaiResponses } from './dialect/openai-responses.ts'
import { answerReader } from './scripted-wire.ts'

const ask: Ask = {
  model: 'm',
  stream: true,
  system: '',
  user: '',
  lastUser: '',
  tools: [],
  toolResults: 0,
  marks: [],
  json: null,
  streamUsage: true,
}
const reply: Reply = {
  text: 'Grüße!',
  call: { name: 'shell', args: { command: 'ls "x"' } },
  tokens: { input: 1_000, cachedInput: 256, cacheWrite: 0, output: 50, thinking: 10 },
  id: 'abc',
  mark: 'r0',
  createdAt: 0,
}

const read = (dialect: typeof anthropic, frames: readonly string[]) => {
  const reader = answerReader(dialect.name as 'gemini')
  for (const frame of frames)
    reader.push(JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as Record<string, unknown>)
  return reader.close()
}

for (const dialect of [anthropic, openaiResponses, gemini]) {
  const frames = dialect.encodeStream(ask, reply)

  test(`${dialect.name}: a stream is an answer only once the model has ended it, however cleanly it closes`, () => {
    const { text, calls, use } = read(dialect, frames) ?? {}
    assert.deepEqual(
      { text, calls: calls?.map(({ name, args }) => ({ name, args })), use },
      { text: 'Grüße!', calls: [reply.call], use: { input: 1_000, cachedInput: 256, cacheWrite: 0, output: 50 } },
    )
    for (let count = 0; count < frames.length; count++) assert.equal(read(dialect, frames.slice(0, count)), null)
  })

  test(`${dialect.name}: an error within a stream is thrown in the provider's words`, () => {
    const broken = [...frames.slice(0, 1), dialect.encodeStreamError(529, 'too busy')]
    assert.throws(() => read(dialect, broken), /^Error: too busy$/)
  })
}
