/**
 * Gemini generateContent and streamGenerateContent, the provider's side. Shapes after the published API and requests of Gemini CLI 0.61.
 * `usageMetadata` is in every chunk and cumulative: a reader that adds chunks up counts many times. Thinking is billed beside candidates.
 */
import { asArray, asObject, asText, conversation, frame, keysOf, pieces, wholeInput } from './dialect.ts'
import type { Ask, Dialect, Json, Reply, Tokens } from './dialect.ts'

export const gemini: Dialect = {
  name: 'gemini',
  family: 'google',
  decode,
  encode: (ask, reply) => chunk(ask, reply, parts(reply), reply.tokens, true),
  encodeStream,
  encodeError,
  encodeStreamError: (status, message) => frame(encodeError(status, message)),
}

/** `…/models/MODEL:VERB`, whatever stands before it. */
export const geminiPath = /\/models\/([^/:]+):(\w+)$/

function decode(body: Json, path: string): Ask {
  const talk = conversation()
  for (const content of asArray(body.contents)) {
    const all = asArray(content.parts)
    if (content.role === 'model')
      for (const part of all) if (part.functionCall) talk.mark(markOf(part.thoughtSignature))
    if (content.role === 'model') continue
    const results = all.filter((part) => part.functionResponse)
    for (const _ of results) talk.answerTool()
    if (results.length === 0) for (const part of all) talk.say(asText(part.text))
  }
  const [, model = '', verb = ''] = geminiPath.exec(path) ?? []
  const generation = asObject(body.generationConfig)
  return {
    model,
    stream: verb === 'streamGenerateContent',
    system: asArray(asObject(body.systemInstruction).parts)
      .map((part) => asText(part.text))
      .join('\n'),
    ...talk.read(),
    tools: asArray(body.tools)
      .flatMap((tool) => asArray(tool.functionDeclarations))
      .map((tool) => ({
        name: asText(tool.name),
        form: 'json',
        keys: keysOf(tool.parametersJsonSchema ?? tool.parameters),
      })),
    json:
      generation.responseMimeType === 'application/json'
        ? { schema: generation.responseJsonSchema ?? generation.responseSchema }
        : null,
    streamUsage: true,
  }
}

// Gemini has no call ids of its own, but clients must send a thought's signature back untouched: that is where our mark travels.
const signature = (reply: Reply): string => Buffer.from(`thought_${reply.mark}_${reply.id}`).toString('base64')

const markOf = (value: unknown): string => Buffer.from(asText(value), 'base64').toString('utf8')

function parts(reply: Reply): Json[] {
  return [...(reply.text === '' ? [] : [{ text: reply.text }]), ...callParts(reply)]
}

function callParts(reply: Reply): Json[] {
  const { call } = reply
  if (!call) return []
  const args = 'args' in call ? call.args : { input: call.freeform }
  return [{ functionCall: { name: call.name, args }, thoughtSignature: signature(reply) }]
}

function usage(tokens: Tokens): Json {
  return {
    promptTokenCount: wholeInput(tokens),
    cachedContentTokenCount: tokens.cachedInput,
    candidatesTokenCount: tokens.output - tokens.thinking,
    thoughtsTokenCount: tokens.thinking,
    totalTokenCount: wholeInput(tokens) + tokens.output,
  }
}

function chunk(ask: Ask, reply: Reply, content: Json[], tokens: Tokens, isLast: boolean): Json {
  const candidate = {
    content: { role: 'model', parts: content },
    ...(isLast ? { finishReason: 'STOP' } : {}),
    index: 0,
  }
  return { candidates: [candidate], usageMetadata: usage(tokens), modelVersion: ask.model, responseId: reply.id }
}

function encodeStream(ask: Ask, reply: Reply): string[] {
  const steps: Json[][] = [...pieces(reply.text).map((text) => [{ text }]), ...callParts(reply).map((part) => [part])]
  if (steps.length === 0) steps.push([{ text: '' }])
  const { tokens } = reply
  const visible = tokens.output - tokens.thinking
  return steps.map((content, index) => {
    const sent = Math.ceil((visible * (index + 1)) / steps.length)
    const sofar = { ...tokens, output: tokens.thinking + sent }
    return frame(chunk(ask, reply, content, sofar, index === steps.length - 1))
  })
}

const statusNames: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  402: 'FAILED_PRECONDITION',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
}

function encodeError(status: number, message: string): Json {
  const details =
    status === 429 ? [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1s' }] : undefined
  return { error: { code: status, message, status: statusNames[status] ?? 'UNKNOWN', ...(details ? { details } : {}) } }
}
