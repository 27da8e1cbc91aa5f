/**
 * OpenAI Responses, the provider's side. Shapes after the published API and recorded requests of Codex 0.169 and opencode 1.18.
 * Usage comes once, in `response.completed`: a stream that is cut has told nothing.
 */
import { asArray, asObject, asText, conversation, frame, keysOf, pieces, wholeInput } from './dialect.ts'
import type { Ask, Dialect, Json, Reply, Tokens, Tool } from './dialect.ts'

export const openaiResponses: Dialect = {
  name: 'openai-responses',
  family: 'openai',
  decode,
  encode: (ask, reply) => completed(ask, reply),
  encodeStream,
  encodeError: openaiError,
  encodeStreamError,
}

function decode(body: Json): Ask {
  const talk = conversation()
  const system = [asText(body.instructions)]
  const offered = [...asArray(body.tools)]
  if (typeof body.input === 'string') talk.say(body.input)
  for (const item of asArray(body.input)) {
    const type = asText(item.type)
    if (type === 'additional_tools') offered.push(...asArray(item.tools)) // Codex with models from gpt-6 on
    if (type.endsWith('_call_output')) talk.answerTool()
    else if (type.endsWith('_call')) talk.mark(item.call_id)
    if (item.role === 'user') for (const text of textsOf(item.content)) talk.say(text)
    if (item.role === 'developer' || item.role === 'system') system.push(...textsOf(item.content))
  }
  const format = asObject(asObject(body.text).format)
  return {
    model: asText(body.model),
    stream: body.stream === true,
    system: system.join('\n\n'),
    ...talk.read(),
    tools: offered.flatMap((tool) => [toolOf(tool), ...asArray(tool.tools).map(toolOf)]),
    json: format.type === 'json_schema' || format.type === 'json_object' ? { schema: format.schema } : null,
    streamUsage: true,
  }
}

const textsOf = (content: unknown): string[] =>
  typeof content === 'string' ? [content] : asArray(content).map((part) => asText(part.text))

const toolOf = (tool: Json): Tool => ({
  name: asText(tool.name) || asText(tool.type),
  form: tool.type === 'custom' ? 'freeform' : 'json',
  keys: keysOf(tool.parameters),
})

function usage(tokens: Tokens): Json {
  return {
    input_tokens: wholeInput(tokens),
    input_tokens_details: { cached_tokens: tokens.cachedInput, cache_write_tokens: tokens.cacheWrite },
    output_tokens: tokens.output,
    output_tokens_details: { reasoning_tokens: tokens.thinking },
    total_tokens: wholeInput(tokens) + tokens.output,
  }
}

const opened = (ask: Ask, reply: Reply): Json => ({
  id: `resp_${reply.id}`,
  object: 'response',
  created_at: Math.floor(reply.createdAt / 1_000),
  status: 'in_progress',
  model: ask.model,
  output: [],
  error: null,
  incomplete_details: null,
  parallel_tool_calls: true,
  usage: null,
})

const completed = (ask: Ask, reply: Reply): Json => ({
  ...opened(ask, reply),
  status: 'completed',
  output: items(reply),
  usage: usage(reply.tokens),
})

function items(reply: Reply): Json[] {
  const output: Json[] = []
  if (reply.text !== '') {
    const content = [{ type: 'output_text', text: reply.text, annotations: [] }]
    output.push({ type: 'message', id: `msg_${reply.id}`, status: 'completed', role: 'assistant', content })
  }
  const { call } = reply
  if (!call) return output
  const named = { status: 'completed', call_id: `call_${reply.mark}_${reply.id}`, name: call.name }
  if ('args' in call)
    output.push({ type: 'function_call', id: `fc_${reply.id}`, ...named, arguments: JSON.stringify(call.args) })
  else output.push({ type: 'custom_tool_call', id: `ctc_${reply.id}`, ...named, input: call.freeform })
  return output
}

function encodeStream(ask: Ask, reply: Reply): string[] {
  const frames: string[] = []
  const push = (type: string, rest: Json) => {
    frames.push(frame({ type, sequence_number: frames.length, ...rest }, type))
  }
  push('response.created', { response: opened(ask, reply) })
  push('response.in_progress', { response: opened(ask, reply) })
  for (const [index, item] of items(reply).entries()) {
    const place = { item_id: item.id, output_index: index }
    push('response.output_item.added', { output_index: index, item: emptied(item) })
    if (item.type === 'message') {
      const part = { content_index: 0, ...place }
      push('response.content_part.added', { ...part, part: { type: 'output_text', text: '', annotations: [] } })
      for (const delta of pieces(reply.text)) push('response.output_text.delta', { ...part, delta })
      push('response.output_text.done', { ...part, text: reply.text })
      push('response.content_part.done', { ...part, part: asArray(item.content)[0] })
    } else if (item.type === 'function_call') {
      for (const delta of pieces(asText(item.arguments)))
        push('response.function_call_arguments.delta', { ...place, delta })
      push('response.function_call_arguments.done', { ...place, arguments: item.arguments })
    } else {
      for (const delta of pieces(asText(item.input))) push('response.custom_tool_call_input.delta', { ...place, delta })
      push('response.custom_tool_call_input.done', { ...place, input: item.input })
    }
    push('response.output_item.done', { output_index: index, item })
  }
  push('response.completed', { response: completed(ask, reply) })
  return frames
}

function emptied(item: Json): Json {
  const blank = item.type === 'message' ? { content: [] } : 'arguments' in item ? { arguments: '' } : { input: '' }
  return { ...item, status: 'in_progress', ...blank }
}

const errorTypes: Readonly<Record<number, readonly [type: string, code: string | null]>> = {
  400: ['invalid_request_error', null],
  401: ['invalid_request_error', 'invalid_api_key'],
  403: ['invalid_request_error', 'permission_denied'],
  404: ['invalid_request_error', 'not_found'],
  429: ['requests', 'rate_limit_exceeded'],
}

/** An error body as OpenAI sends it, for both of its dialects. */
export function openaiError(status: number, message: string): Json {
  const [type, code] = errorTypes[status] ?? ['server_error', null]
  return { error: { message, type, param: null, code } }
}

function encodeStreamError(status: number, message: string): string {
  const code = status === 429 ? 'rate_limit_exceeded' : 'server_error'
  const response = { object: 'response', status: 'failed', error: { code, message } }
  return frame({ type: 'response.failed', response }, 'response.failed')
}
