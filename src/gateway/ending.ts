/**
 * How a stream is ended by us so that its client takes it for a whole answer that reached its length limit, not for a broken connection to retry.
 *
 * While the stream passes, a sketch remembers what an ending needs: which blocks are open, the ids the events carry. Never the text.
 */
import type { Dialect } from './route.ts'

type Json = Record<string, unknown>

export type Sketch = {
  started: boolean
  /** Anthropic: content blocks begun and not ended. */
  open: Set<number>
  /** Responses: the object of `response.created`; chat: id, created and model of the first chunk. */
  head: Json
  /** Responses: number of the last event. */
  sequence: number
}

export const newSketch = (): Sketch => ({ started: false, open: new Set(), head: {}, sequence: -1 })

/** Events that an ending needs to know of; only these are parsed for it. */
export const sketchNeedles: Readonly<Record<Dialect, readonly string[]>> = {
  'anthropic-messages': ['"message_start"', '"content_block_start"', '"content_block_stop"'],
  'openai-responses': ['"response.created"'],
  'openai-chat': ['"chat.completion.chunk"'],
  gemini: [],
}

/** Takes one event of a stream into the sketch. */
export function takeShape(dialect: Dialect, event: Json, sketch: Sketch): void {
  const index = typeof event['index'] === 'number' ? event['index'] : 0
  if (event['type'] === 'content_block_start') sketch.open.add(index)
  if (event['type'] === 'content_block_stop') sketch.open.delete(index)
  if (dialect === 'openai-responses' && typeof event['response'] === 'object') {
    sketch.head = (event['response'] ?? {}) as Json
    sketch.sequence = typeof event['sequence_number'] === 'number' ? event['sequence_number'] : sketch.sequence
  }
  if (dialect === 'openai-chat' && !sketch.started) {
    const { id, created, model } = event
    sketch.head = { id, created, model }
  }
  sketch.started = true
}

/** The end of a stream cut at its budget: bytes to send after the last whole event. `usage` is our estimate of what was made. */
export function endingOf(
  dialect: Dialect,
  sketch: Sketch,
  usage: { input: number; output: number },
  options: { includeUsage: boolean },
): string {
  switch (dialect) {
    case 'anthropic-messages':
      return anthropicEnding(sketch, usage)
    case 'openai-responses':
      return responsesEnding(sketch, usage)
    case 'openai-chat':
      return chatEnding(sketch, usage, options.includeUsage)
    case 'gemini': {
      const candidate = { content: { role: 'model', parts: [{ text: '' }] }, finishReason: 'MAX_TOKENS', index: 0 }
      const total = usage.input + usage.output
      const usageMetadata = {
        promptTokenCount: usage.input,
        candidatesTokenCount: usage.output,
        totalTokenCount: total,
      }
      return `data: ${JSON.stringify({ candidates: [candidate], usageMetadata })}\r\n\r\n`
    }
  }
}

const named = (event: Json & { type: string }): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

function anthropicEnding(sketch: Sketch, usage: { output: number }): string {
  if (!sketch.started)
    return named({
      type: 'error',
      error: { type: 'billing_error', message: 'BUDGET_EXCEEDED: cut before the first word' },
    })
  const stops = [...sketch.open].map((index) => named({ type: 'content_block_stop', index }))
  const delta = named({
    type: 'message_delta',
    delta: { stop_reason: 'max_tokens', stop_sequence: null },
    usage: { output_tokens: usage.output },
  })
  return stops.join('') + delta + named({ type: 'message_stop' })
}

function responsesEnding(sketch: Sketch, usage: { input: number; output: number }): string {
  const response = {
    object: 'response',
    output: [],
    ...sketch.head,
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    usage: {
      input_tokens: usage.input,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: usage.output,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: usage.input + usage.output,
    },
  }
  return named({ type: 'response.incomplete', sequence_number: sketch.sequence + 1, response })
}

function chatEnding(sketch: Sketch, usage: { input: number; output: number }, includeUsage: boolean): string {
  const chunk = { ...sketch.head, object: 'chat.completion.chunk' }
  const last = { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'length' }] }
  const total = {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
  }
  const tail = includeUsage ? `data: ${JSON.stringify({ ...chunk, choices: [], usage: total })}\n\n` : ''
  return `data: ${JSON.stringify(last)}\n\n${tail}data: [DONE]\n\n`
}
