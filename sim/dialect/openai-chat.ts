/**
 * OpenAI Chat Completions, the provider's side: what opencode and every "compatible" client speak.
 * A stream carries usage only when `stream_options.include_usage` asks for it, in a last chunk without choices.
 */
import { asArray, asObject, asText, conversation, frame, keysOf, pieces, wholeInput } from './dialect.ts'
import type { Ask, Dialect, Json, Reply, Tokens } from './dialect.ts'
import { openaiError } from './openai-responses.ts'

export const openaiChat: Dialect = {
  name: 'openai-chat',
  family: 'openai',
  decode,
  encode,
  encodeStream,
  encodeError: openaiError,
  encodeStreamError: (status, message) => frame(openaiError(status, message)),
}

function decode(body: Json): Ask {
  const talk = conversation()
  const system: string[] = []
  for (const message of asArray(body.messages)) {
    const texts =
      typeof message.content === 'string'
        ? [message.content]
        : asArray(message.content).map((part) => asText(part.text))
    if (message.role === 'tool') talk.answerTool()
    if (message.role === 'user') for (const text of texts) talk.say(text)
    if (message.role === 'system' || message.role === 'developer') system.push(...texts)
    if (message.role === 'assistant') for (const call of asArray(message.tool_calls)) talk.mark(call.id)
  }
  const format = asObject(body.response_format)
  return {
    model: asText(body.model),
    stream: body.stream === true,
    system: system.join('\n\n'),
    ...talk.read(),
    tools: asArray(body.tools).map((tool) => {
      const declared = asObject(tool.function)
      return { name: asText(declared.name), form: 'json', keys: keysOf(declared.parameters) }
    }),
    json: asText(format.type).startsWith('json') ? { schema: asObject(format.json_schema).schema } : null,
    streamUsage: asObject(body.stream_options).include_usage === true,
  }
}

const usage = (tokens: Tokens): Json => ({
  prompt_tokens: wholeInput(tokens),
  completion_tokens: tokens.output,
  total_tokens: wholeInput(tokens) + tokens.output,
  prompt_tokens_details: { cached_tokens: tokens.cachedInput },
  completion_tokens_details: { reasoning_tokens: tokens.thinking },
})

const head = (ask: Ask, reply: Reply, object: string): Json => ({
  id: `chatcmpl-${reply.id}`,
  object,
  created: Math.floor(reply.createdAt / 1_000),
  model: ask.model,
})

const ending = (reply: Reply): string => (reply.call ? 'tool_calls' : 'stop')

const callId = (reply: Reply): string => `call_${reply.mark}_${reply.id}`

function argumentsOf(reply: Reply): string {
  if (!reply.call) return ''
  return JSON.stringify('args' in reply.call ? reply.call.args : { input: reply.call.freeform })
}

function encode(ask: Ask, reply: Reply): Json {
  const call = {
    id: callId(reply),
    type: 'function',
    function: { name: reply.call?.name, arguments: argumentsOf(reply) },
  }
  const message = {
    role: 'assistant',
    content: reply.text || null,
    refusal: null,
    ...(reply.call ? { tool_calls: [call] } : {}),
  }
  const choices = [{ index: 0, message, logprobs: null, finish_reason: ending(reply) }]
  return { ...head(ask, reply, 'chat.completion'), choices, usage: usage(reply.tokens) }
}

function encodeStream(ask: Ask, reply: Reply): string[] {
  const usageField = ask.streamUsage ? { usage: null } : {}
  const chunk = (delta: Json, finish: string | null = null) =>
    frame({
      ...head(ask, reply, 'chat.completion.chunk'),
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      ...usageField,
    })
  const frames = [chunk({ role: 'assistant', content: '' })]
  for (const content of pieces(reply.text)) frames.push(chunk({ content }))
  if (reply.call) {
    const named = { name: reply.call.name, arguments: '' }
    frames.push(chunk({ tool_calls: [{ index: 0, id: callId(reply), type: 'function', function: named }] }))
    for (const piece of pieces(argumentsOf(reply)))
      frames.push(chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] }))
  }
  frames.push(chunk({}, ending(reply)))
  if (ask.streamUsage)
    frames.push(frame({ ...head(ask, reply, 'chat.completion.chunk'), choices: [], usage: usage(reply.tokens) }))
  return [...frames, frame('[DONE]')]
}
