/** Requests and answers of all four APIs as they look on the wire. For tests only. */
import type { Family } from '../core/family.ts'
import type { Dialect } from './route.ts'

export const models = {
  'anthropic-messages': 'claude-opus-5-5',
  'openai-responses': 'gpt-6-sol',
  'openai-chat': 'gpt-6-sol',
  gemini: 'gemini-3.8-flash',
} as const satisfies Record<Dialect, string>

export const familyFor: Readonly<Record<Dialect, Family>> = {
  'anthropic-messages': 'anthropic',
  'openai-responses': 'openai',
  'openai-chat': 'openai',
  gemini: 'google',
}

export const dialects = Object.keys(models) as Dialect[]

/** Path and body of a small request; `extra` goes into the body's top. */
export function askIn(
  dialect: Dialect,
  stream: boolean,
  extra: object = {},
  cap = 500,
): { path: string; body: string } {
  const model = models[dialect]
  const words = 'Write one line, please: é😀 "quoted" \\ 1.0'
  const messages = [{ role: 'user', content: words }]
  switch (dialect) {
    case 'anthropic-messages':
      return {
        path: '/v1/messages?beta=true',
        body: JSON.stringify({ model, max_tokens: cap, stream, messages, ...extra }),
      }
    case 'openai-responses':
      return {
        path: '/v1/responses',
        body: JSON.stringify({ model, max_output_tokens: cap, stream, store: false, input: messages, ...extra }),
      }
    case 'openai-chat': {
      const options = stream ? { stream_options: { include_usage: true } } : {}
      return {
        path: '/v1/chat/completions',
        body: JSON.stringify({ model, max_completion_tokens: cap, stream, messages, ...options, ...extra }),
      }
    }
    case 'gemini': {
      const body = {
        contents: [{ role: 'user', parts: [{ text: words }] }],
        generationConfig: { maxOutputTokens: cap },
        ...extra,
      }
      const verb = stream ? 'streamGenerateContent?alt=sse' : 'generateContent'
      return { path: `/v1beta/models/${model}:${verb}`, body: JSON.stringify(body) }
    }
  }
}

export type Used = { input: number; cached: number; output: number }

const lines = (events: readonly object[], eol = '\n'): string =>
  events
    .map((event) => {
      const name = (event as { type?: string }).type
      return `${name ? `event: ${name}${eol}` : ''}data: ${JSON.stringify(event)}${eol}${eol}`
    })
    .join('')

/** A whole event stream. The words are spread over as many events; with `unfinished` the provider's last word is missing. */
export function streamOf(
  dialect: Dialect,
  used: Used,
  words: readonly string[] = ['Hello', ' wörld'],
  unfinished = false,
): string {
  const keep = (all: object[], tail: object[]) => (unfinished ? all : [...all, ...tail])
  switch (dialect) {
    case 'anthropic-messages': {
      const usage = { input_tokens: used.input, cache_read_input_tokens: used.cached, output_tokens: 1 }
      const head = [
        {
          type: 'message_start',
          message: { id: 'msg_1', type: 'message', role: 'assistant', model: models[dialect], usage },
        },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        ...words.map((text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
      ]
      const delta = { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: used.output } }
      return lines(keep(head, [{ type: 'content_block_stop', index: 0 }, delta, { type: 'message_stop' }]))
    }
    case 'openai-responses': {
      const response = { id: 'resp_1', object: 'response', status: 'in_progress', model: models[dialect], output: [] }
      const head = [
        { type: 'response.created', sequence_number: 0, response },
        ...words.map((delta, n) => ({ type: 'response.output_text.delta', sequence_number: n + 1, delta })),
      ]
      return lines(keep(head, [{ type: 'response.completed', sequence_number: 99, response: responseOf(used) }]))
    }
    case 'openai-chat': {
      const chunk = {
        id: 'chatcmpl-1',
        object: 'chat.completion.chunk',
        created: 1,
        model: models[dialect],
        usage: null,
      }
      const head = words.map((content) => ({
        ...chunk,
        choices: [{ index: 0, delta: { content }, finish_reason: null }],
      }))
      const stop = { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }
      return (
        lines(keep(head, [stop, { ...chunk, choices: [], usage: chatUsage(used) }])) +
        (unfinished ? '' : 'data: [DONE]\n\n')
      )
    }
    case 'gemini': {
      const chunk = (text: string, n: number) => ({
        candidates: [{ content: { role: 'model', parts: [{ text }] }, index: 0 }],
        usageMetadata: {
          promptTokenCount: used.input + used.cached,
          cachedContentTokenCount: used.cached,
          candidatesTokenCount: Math.min(n, used.output - Math.floor(used.output / 3)),
        },
      })
      const last = {
        candidates: [{ content: { role: 'model', parts: [] }, finishReason: 'STOP', index: 0 }],
        usageMetadata: geminiUsage(used),
      }
      return lines(keep(words.map(chunk), [last]), '\r\n')
    }
  }
}

const responseOf = (used: Used): object => ({
  id: 'resp_1',
  object: 'response',
  status: 'completed',
  model: models['openai-responses'],
  output: [],
  usage: {
    input_tokens: used.input + used.cached,
    input_tokens_details: { cached_tokens: used.cached },
    output_tokens: used.output,
    output_tokens_details: { reasoning_tokens: 0 },
  },
})

const chatUsage = (used: Used): object => ({
  prompt_tokens: used.input + used.cached,
  completion_tokens: used.output,
  prompt_tokens_details: { cached_tokens: used.cached },
})

/** A third of the output is thought, which Gemini counts beside the candidates. */
const geminiUsage = (used: Used): object => ({
  promptTokenCount: used.input + used.cached,
  cachedContentTokenCount: used.cached,
  candidatesTokenCount: used.output - Math.floor(used.output / 3),
  thoughtsTokenCount: Math.floor(used.output / 3),
})

/** A whole answer without a stream. */
export function bodyOf(dialect: Dialect, used: Used): string {
  switch (dialect) {
    case 'anthropic-messages': {
      const usage = { input_tokens: used.input, cache_read_input_tokens: used.cached, output_tokens: used.output }
      return JSON.stringify({
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        content: [{ type: 'text', text: 'Hi' }],
        usage,
      })
    }
    case 'openai-responses':
      return JSON.stringify(responseOf(used))
    case 'openai-chat':
      return JSON.stringify({ id: 'c', object: 'chat.completion', choices: [], usage: chatUsage(used) })
    case 'gemini':
      return JSON.stringify({
        candidates: [{ content: { parts: [{ text: 'Hi' }] }, finishReason: 'STOP' }],
        usageMetadata: geminiUsage(used),
      })
  }
}
