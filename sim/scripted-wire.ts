/**
 * The scripted agent's side of three wire dialects: a conversation written as a request, a stream read as what the model said.
 * Pure, and written apart from sim/dialect on purpose: the two sides check each other. Imports nothing, so that it can be bundled anywhere.
 */
export type WireDialect = 'anthropic-messages' | 'openai-responses' | 'gemini'

export type ToolSpec = { name: string; description: string; properties: Readonly<Record<string, string>> }

/** A call of the model. `signature` is Gemini's, to be sent back untouched. */
export type ToolCall = { id: string; name: string; args: Record<string, unknown>; signature?: string }

export type ToolResult = { call: ToolCall; ok: boolean; output: string }

export type Turn =
  | { role: 'user'; text: string }
  | { role: 'model'; text: string; calls: readonly ToolCall[] }
  | { role: 'tool'; results: readonly ToolResult[] }

export type Request = { path: string; headers: Record<string, string>; body: unknown }

/** `input` is what is paid in full, as in sim/dialect: neither read from nor written to a cache. */
export type Use = { input: number; cachedInput: number; cacheWrite: number; output: number }

export type Answer = { text: string; calls: ToolCall[]; use: Use }

type Fields = Record<string, unknown>

const system = 'You are a coding agent driven by a script.'

/** The request that asks the model to go on. */
export function buildRequest(
  dialect: WireDialect,
  model: string,
  key: string,
  turns: readonly Turn[],
  tools: readonly ToolSpec[],
): Request {
  switch (dialect) {
    case 'anthropic-messages':
      return {
        path: '/v1/messages',
        headers: { 'x-api-key': key, 'anthropic-version': '2023-06-01' },
        body: {
          model,
          max_tokens: 8_192,
          stream: true,
          system,
          messages: turns.map(anthropicTurn),
          tools: tools.map(anthropicTool),
        },
      }
    case 'openai-responses':
      return {
        path: '/v1/responses',
        headers: { authorization: `Bearer ${key}` },
        body: {
          model,
          stream: true,
          store: false,
          instructions: system,
          input: turns.flatMap(openaiTurn),
          tools: tools.map(openaiTool),
        },
      }
    case 'gemini':
      return {
        path: `/v1beta/models/${model}:streamGenerateContent?alt=sse`,
        headers: { 'x-goog-api-key': key },
        body: {
          systemInstruction: { parts: [{ text: system }] },
          contents: turns.map(geminiTurn),
          tools: [{ functionDeclarations: tools.map(geminiTool) }],
        },
      }
  }
}

const schemaOf = (tool: ToolSpec) => ({
  type: 'object',
  properties: Object.fromEntries(
    Object.entries(tool.properties).map(([name, description]) => [name, { type: 'string', description }]),
  ),
  required: Object.keys(tool.properties),
})

const anthropicTool = (tool: ToolSpec) => ({
  name: tool.name,
  description: tool.description,
  input_schema: schemaOf(tool),
})
const openaiTool = (tool: ToolSpec) => ({
  type: 'function',
  name: tool.name,
  description: tool.description,
  parameters: schemaOf(tool),
})
const geminiTool = (tool: ToolSpec) => ({
  name: tool.name,
  description: tool.description,
  parametersJsonSchema: schemaOf(tool),
})

function anthropicTurn(turn: Turn): Fields {
  if (turn.role === 'user') return { role: 'user', content: turn.text }
  if (turn.role === 'tool') {
    const content = turn.results.map(({ call, ok, output }) => ({
      type: 'tool_result',
      tool_use_id: call.id,
      content: output,
      is_error: !ok,
    }))
    return { role: 'user', content }
  }
  const text = turn.text === '' ? [] : [{ type: 'text', text: turn.text }]
  return {
    role: 'assistant',
    content: [...text, ...turn.calls.map(({ id, name, args }) => ({ type: 'tool_use', id, name, input: args }))],
  }
}

function openaiTurn(turn: Turn): Fields[] {
  if (turn.role === 'user')
    return [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: turn.text }] }]
  if (turn.role === 'tool')
    return turn.results.map(({ call, output }) => ({ type: 'function_call_output', call_id: call.id, output }))
  const said = { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: turn.text }] }
  const calls = turn.calls.map(({ id, name, args }) => ({
    type: 'function_call',
    call_id: id,
    name,
    arguments: JSON.stringify(args),
  }))
  return turn.text === '' ? calls : [said, ...calls]
}

function geminiTurn(turn: Turn): Fields {
  if (turn.role === 'user') return { role: 'user', parts: [{ text: turn.text }] }
  if (turn.role === 'tool') {
    const parts = turn.results.map(({ call, output }) => ({
      functionResponse: { name: call.name, response: { output } },
    }))
    return { role: 'user', parts }
  }
  const text = turn.text === '' ? [] : [{ text: turn.text }]
  const calls = turn.calls.map(({ name, args, signature }) => ({
    functionCall: { name, args },
    thoughtSignature: signature,
  }))
  return { role: 'model', parts: [...text, ...calls] }
}

/** Reads a stream, payload by payload. `close` gives the answer, or null when the stream ended before the model did. */
export type Reader = { push(payload: Fields): void; close(): Answer | null }

/** A reader for one answer. Throws an Error with the provider's words when the stream carries an error. */
export function answerReader(dialect: WireDialect): Reader {
  const answer: Answer = { text: '', calls: [], use: { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 } }
  const state = { answer, isWhole: false, partial: '' }
  const read = { 'anthropic-messages': readAnthropic, 'openai-responses': readOpenai, gemini: readGemini }[dialect]
  return {
    push(payload) {
      const failed = fieldsOf(payload.error ?? fieldsOf(payload.response).error)
      if (typeof failed.message === 'string') throw new Error(failed.message)
      read(state, payload)
    },
    close: () => (state.isWhole ? answer : null),
  }
}

type ReaderState = { answer: Answer; isWhole: boolean; partial: string }

function readAnthropic(state: ReaderState, payload: Fields): void {
  const { answer } = state
  const delta = fieldsOf(payload.delta)
  const use = fieldsOf(payload.usage ?? fieldsOf(payload.message).usage)
  // Counters are cumulative: the last one said is the truth.
  for (const [field, name] of anthropicCounters) if (typeof use[name] === 'number') answer.use[field] = use[name]
  if (payload.type === 'content_block_start') {
    const block = fieldsOf(payload.content_block)
    state.partial = ''
    if (block.type === 'tool_use') answer.calls.push({ id: String(block.id), name: String(block.name), args: {} })
  }
  if (delta.type === 'text_delta') answer.text += String(delta.text)
  if (delta.type === 'input_json_delta') state.partial += String(delta.partial_json)
  if (payload.type === 'content_block_stop' && state.partial !== '') {
    const call = answer.calls.at(-1)
    if (call) call.args = fieldsOf(JSON.parse(state.partial))
    state.partial = ''
  }
  if (payload.type === 'message_stop') state.isWhole = true
}

const anthropicCounters = [
  ['input', 'input_tokens'],
  ['cachedInput', 'cache_read_input_tokens'],
  ['cacheWrite', 'cache_creation_input_tokens'],
  ['output', 'output_tokens'],
] as const

function readOpenai(state: ReaderState, payload: Fields): void {
  const { answer } = state
  if (payload.type === 'response.output_text.delta') answer.text += String(payload.delta)
  const item = fieldsOf(payload.item)
  if (payload.type === 'response.output_item.done' && item.type === 'function_call')
    answer.calls.push({
      id: String(item.call_id),
      name: String(item.name),
      args: fieldsOf(JSON.parse(String(item.arguments))),
    })
  if (payload.type !== 'response.completed') return
  const use = fieldsOf(fieldsOf(payload.response).usage)
  const details = fieldsOf(use.input_tokens_details)
  const [cachedInput, cacheWrite] = [count(details.cached_tokens), count(details.cache_write_tokens)]
  answer.use = {
    input: count(use.input_tokens) - cachedInput - cacheWrite,
    cachedInput,
    cacheWrite,
    output: count(use.output_tokens),
  }
  state.isWhole = true
}

function readGemini(state: ReaderState, payload: Fields): void {
  const { answer } = state
  const candidate = fieldsOf(Array.isArray(payload.candidates) ? payload.candidates[0] : undefined)
  const parts = fieldsOf(candidate.content).parts
  for (const part of Array.isArray(parts) ? parts.map(fieldsOf) : []) {
    if (typeof part.text === 'string') answer.text += part.text
    const call = fieldsOf(part.functionCall)
    if (typeof call.name === 'string')
      answer.calls.push({
        id: `${call.name}_${String(payload.responseId)}_${answer.calls.length}`,
        name: call.name,
        args: fieldsOf(call.args),
        signature: String(part.thoughtSignature),
      })
  }
  const use = fieldsOf(payload.usageMetadata)
  const cachedInput = count(use.cachedContentTokenCount)
  const output = count(use.candidatesTokenCount) + count(use.thoughtsTokenCount)
  answer.use = { input: count(use.promptTokenCount) - cachedInput, cachedInput, cacheWrite: 0, output }
  if (candidate.finishReason) state.isWhole = true
}

const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {})

const count = (value: unknown): number => (typeof value === 'number' ? value : 0)
