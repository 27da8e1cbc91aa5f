/**
 * Which of the vendors' endpoints a request means. Any prefix may stand before a known path: gateways and clients add their own.
 */
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { anthropic } from './dialect/anthropic.ts'
import type { Dialect } from './dialect/dialect.ts'
import { gemini, geminiPath } from './dialect/gemini.ts'
import { openaiChat } from './dialect/openai-chat.ts'
import { openaiResponses } from './dialect/openai-responses.ts'

export type Route =
  | { kind: 'control' }
  | { kind: 'hello' }
  | { kind: 'models' }
  | { kind: 'count'; dialect: Dialect }
  | { kind: 'model'; dialect: Dialect }
  | { kind: 'unknown' }

/** The endpoint of a method and a path without its query. */
export function routeOf(method: string, path: string): Route {
  if (path === '/__control') return { kind: 'control' }
  if (path.endsWith('/api/hello') || method === 'HEAD') return { kind: 'hello' }
  if (method === 'GET') return /\/v1(beta)?\/models(\/[^/]+)?$/.test(path) ? { kind: 'models' } : { kind: 'unknown' }
  if (method !== 'POST') return { kind: 'unknown' }
  if (path.endsWith('/v1/messages')) return { kind: 'model', dialect: anthropic }
  if (path.endsWith('/v1/messages/count_tokens')) return { kind: 'count', dialect: anthropic }
  if (path.endsWith('/responses')) return { kind: 'model', dialect: openaiResponses }
  if (path.endsWith('/responses/input_tokens')) return { kind: 'count', dialect: openaiResponses }
  if (path.endsWith('/chat/completions')) return { kind: 'model', dialect: openaiChat }
  const verb = geminiPath.exec(path)?.[2]
  if (verb === 'generateContent' || verb === 'streamGenerateContent') return { kind: 'model', dialect: gemini }
  return verb === 'countTokens' ? { kind: 'count', dialect: gemini } : { kind: 'unknown' }
}

/** The key a request presents, by whichever header its vendor reads. */
export function presentedKey(headers: IncomingHttpHeaders, query: URLSearchParams): string | null {
  const single = (name: string) => (typeof headers[name] === 'string' ? headers[name] : null)
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? null
  return single('x-api-key') ?? single('x-goog-api-key') ?? bearer ?? query.get('key')
}

/** Hex of what was asked: equal requests get equal answers, ids and all. */
export const fingerprint = (...parts: readonly string[]): string =>
  createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 20)
