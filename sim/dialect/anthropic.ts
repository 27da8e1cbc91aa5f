/**
 * Anthropic Messages, the provider's side. Shapes after the published API and recorded requests of Claude Code 2.1.330.
 * Usage counters of `message_delta` are cumulative: a reader that adds them up counts twice.
 */
import { asArray, asObject, asText, conversation, frame, keysOf, pieces } from './dialect.ts'
import type { Ask, Dialect, Json, Reply, Tokens } from './dialect.ts'

export const anthropic: Dialect = {
  name: 'anthropic-messages',
  family: 'anthropic',
  decode,
  encode: (ask, reply) => ({
    ...message(ask, reply),
    content: blocks(reply),
    ...ending(reply),
    usage: usage(reply.tokens),
  }),
  encodeStream,
  encodeError,
  encodeStreamError: (status, text) => frame(encodeError(status, text), 'error'),
}

function decode(body: Json): Ask {
  const talk = conversation()
  const system = [textOf(body.system)]
  for (const message of asArray(body.messages)) {
    const parts =
      typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : asArray(message.content)
    if (message.role === 'system') system.push(textOf(message.content))
    if (message.role === 'assistant') for (const part of parts) if (part.type === 'tool_use') talk.mark(part.id)
    if (message.role !== 'user') continue
    const results = parts.filter((part) => part.type === 'tool_result')
    for (const _ of results) talk.answerTool()
    for (const part of parts)
      if (part.type === 'text' && (results.length === 0 || isPrompt(asText(part.text)))) talk.say(asText(part.text))
  }
  const format = asObject(asObject(body.output_config).format)
  return {
    model: asText(body.model),
    stream: body.stream === true,
    system: system.join('\n\n'),
    ...talk.read(),
    tools: asArray(body.tools).map((tool) => ({
      name: asText(tool.name) || asText(tool.type),
      form: 'json',
      keys: keysOf(tool.input_schema),
    })),
    json: format.type === 'json_schema' ? { schema: format.schema } : null,
    streamUsage: true,
  }
}

/** Beside a tool's result text is a note of the client's. In a session that was gone on with, the next prompt stands there: ours begin with a heading. */
const isPrompt = (text: string): boolean => /^\s*# \S/.test(text)

const textOf = (content: unknown): string =>
  typeof content === 'string'
    ? content
    : asArray(content)
        .map((part) => asText(part.text))
        .join('\n')

function usage(tokens: Tokens): Json {
  return {
    input_tokens: tokens.input,
    cache_creation_input_tokens: tokens.cacheWrite,
    cache_creation: { ephemeral_5m_input_tokens: tokens.cacheWrite, ephemeral_1h_input_tokens: 0 },
    cache_read_input_tokens: tokens.cachedInput,
    output_tokens: tokens.output,
    output_tokens_details: { thinking_tokens: tokens.thinking },
    service_tier: 'standard',
  }
}

const message = (ask: Ask, reply: Reply): Json => ({
  id: `msg_${reply.id}`,
  type: 'message',
  role: 'assistant',
  model: ask.model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
})

const ending = (reply: Reply): Json => ({ stop_reason: reply.call ? 'tool_use' : 'end_turn', stop_sequence: null })

function blocks(reply: Reply): Json[] {
  const content: Json[] = reply.text === '' ? [] : [{ type: 'text', text: reply.text }]
  const { call } = reply
  if (!call) return content
  const input = 'args' in call ? call.args : { input: call.freeform }
  return [...content, { type: 'tool_use', id: `toolu_${reply.mark}_${reply.id}`, name: call.name, input }]
}

function encodeStream(ask: Ask, reply: Reply): string[] {
  const start = { ...message(ask, reply), usage: usage({ ...reply.tokens, output: 1, thinking: 0 }) }
  const frames = [frame({ type: 'message_start', message: start }, 'message_start'), frame({ type: 'ping' }, 'ping')]
  const push = (payload: Json) => void frames.push(frame(payload, asText(payload.type)))
  for (const [index, block] of blocks(reply).entries()) {
    const isText = block.type === 'text'
    push({
      type: 'content_block_start',
      index,
      content_block: isText ? { type: 'text', text: '' } : { ...block, input: {} },
    })
    for (const piece of pieces(isText ? asText(block.text) : JSON.stringify(block.input))) {
      const delta = isText ? { type: 'text_delta', text: piece } : { type: 'input_json_delta', partial_json: piece }
      push({ type: 'content_block_delta', index, delta })
    }
    push({ type: 'content_block_stop', index })
  }
  push({ type: 'message_delta', delta: ending(reply), usage: usage(reply.tokens) })
  push({ type: 'message_stop' })
  return frames
}

const errorTypes: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
}

function encodeError(status: number, text: string): Json {
  return { type: 'error', error: { type: errorTypes[status] ?? 'api_error', message: text } }
}
