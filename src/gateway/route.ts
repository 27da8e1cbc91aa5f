/**
 * Which requests there are. Everything that can be billed is in this list and metered; everything else is denied.
 *
 * A prefix `/t/<…>` before the path is tolerated, because clients are given base URLs with one. The path sent upstream is built anew from what was
 * recognised, so nothing smuggled into a URL (another host, `..`, an escape, a key in the query) gets past here.
 */
import type { Family } from '../core/family.ts'

export type Dialect = 'anthropic-messages' | 'openai-responses' | 'openai-chat' | 'gemini'

/** `generate` bills; `count` and `models` are free; `hello` is answered here. */
export type Route = {
  dialect: Dialect
  kind: 'generate' | 'count' | 'models' | 'hello'
  /** Path and query for the upstream. */
  path: string
  /** From the path, where the dialect has it there. */
  model: string | null
  stream: boolean | null
}

const prefix = /^(?:\/t\/[A-Za-z0-9_.-]+)*(?=\/)/
const gemini =
  /^\/(v1|v1beta)\/models\/([A-Za-z0-9][A-Za-z0-9._-]*):(generateContent|streamGenerateContent|countTokens)$/

const fixed: Readonly<Record<string, Omit<Route, 'path'>>> = {
  'HEAD /api/hello': { dialect: 'anthropic-messages', kind: 'hello', model: null, stream: null },
  'POST /v1/messages': { dialect: 'anthropic-messages', kind: 'generate', model: null, stream: null },
  'POST /v1/messages/count_tokens': { dialect: 'anthropic-messages', kind: 'count', model: null, stream: null },
  'GET /v1/models': { dialect: 'anthropic-messages', kind: 'models', model: null, stream: null },
  'POST /v1/responses': { dialect: 'openai-responses', kind: 'generate', model: null, stream: null },
  'POST /v1/chat/completions': { dialect: 'openai-chat', kind: 'generate', model: null, stream: null },
}

/** Query names with a meaning to a provider that carry no credential; all others are dropped. */
const queryNames = new Set(['beta', 'alt', 'limit', 'after_id', 'before_id'])

/** Recognises a request, or null: not one of ours. */
export function routeOf(method: string, target: string): Route | null {
  const [rawPath = '', ...rest] = target.split('?')
  if (!/^\/[A-Za-z0-9/._:-]*$/.test(rawPath) || /\/\.|\/\//.test(rawPath)) return null
  const path = rawPath.replace(prefix, '')
  const query = keepQuery(rest.join('?'))
  const known = Object.hasOwn(fixed, `${method} ${path}`) ? fixed[`${method} ${path}`] : undefined
  if (known) return { ...known, path: path + query }
  const match = method === 'POST' ? gemini.exec(path) : null
  if (!match) return null
  const [, , model, verb] = match
  return {
    dialect: 'gemini',
    kind: verb === 'countTokens' ? 'count' : 'generate',
    path: path + query,
    model: model!,
    stream: verb === 'streamGenerateContent',
  }
}

function keepQuery(raw: string): string {
  const kept = new URLSearchParams([...new URLSearchParams(raw)].filter(([name]) => queryNames.has(name))).toString()
  return kept === '' ? '' : `?${kept}`
}

/** The dialect an answer is written in when the request itself was not recognised. */
export const dialectNear = (target: string): Dialect =>
  /:(generate|stream|count)|\/v1beta\//.test(target)
    ? 'gemini'
    : target.includes('/responses')
      ? 'openai-responses'
      : target.includes('/chat/')
        ? 'openai-chat'
        : 'anthropic-messages'

/** What the three vendors speak; any further family may speak what its upstream does. */
export const speaks = (family: Family, dialect: Dialect): boolean =>
  family === 'anthropic'
    ? dialect === 'anthropic-messages'
    : family === 'openai'
      ? dialect.startsWith('openai-')
      : family === 'google'
        ? dialect === 'gemini'
        : dialect !== 'gemini'

/** Joins a configured base URL and a path; a base that ends in the path's own version does not repeat it. */
export function upstreamUrl(baseUrl: string, path: string, apiVersion?: string): URL {
  const base = new URL(baseUrl)
  const root = base.pathname.replace(/\/+$/, '')
  const version = /^\/(v1beta|v1)\//.exec(path)?.[1]
  const rest = version && root.endsWith(`/${version}`) ? path.slice(version.length + 1) : path
  const url = new URL(base.origin + root + rest)
  if (apiVersion !== undefined) url.searchParams.set('api-version', apiVersion)
  return url
}
