/**
 * Headers and credentials on their way through. A client's credential never reaches the provider, the provider's never reaches a client:
 * wherever the real key appears in an answer, even in its body, it is masked with as many asterisks.
 */
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { Dialect } from './route.ts'

/** Meant for one connection (RFC 9110 §7.6.1), or for whoever stands between, or set anew here. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
  'host',
  'content-length',
  'expect',
  'forwarded',
  'via',
])

/** What names the payer or carries a credential. */
const credentials = new Set([
  'x-api-key',
  'authorization',
  'x-goog-api-key',
  'cookie',
  'api-key',
  'x-goog-user-project',
  'openai-organization',
  'openai-project',
  'x-goog-iam-authorization-token',
])

/** What some servers, and the gateways of others, take for another method, path, provider or price than the request has. */
const leading =
  /^(?:x-http-method(?:-override)?|x-method-override|x-original-url|x-rewrite-url|(?:x-vertex-ai-llm|x-portkey|helicone|cf-aig|x-litellm)-.*)$/

/** The virtual key a request presents, or null: none, or more than one that differ. */
export function presentedKey(request: IncomingMessage): string | null {
  const { 'x-api-key': plain = [], 'x-goog-api-key': goog = [], authorization = [] } = request.headersDistinct
  const bearer = authorization.flatMap((value) => /^bearer (.+)$/i.exec(value)?.[1] ?? [])
  const keys = new Set([...plain, ...goog, ...bearer].map((key) => key.trim()))
  return keys.size === 1 && authorization.length === bearer.length ? [...keys][0]! : null
}

/**
 * Headers for the provider: the client's, without hop-by-hop, credentials, or anything in which its key stands, plus the real key. `context` is the
 * window that was held for.
 */
export function requestHeaders(
  headers: IncomingHttpHeaders,
  options: {
    dialect: Dialect
    virtualKey: string
    realKey: string
    keyHeader?: 'api-key' | null
    bytes: number
    context: number | null
  },
): OutgoingHttpHeaders {
  const named = listed(headers.connection)
  const kept: OutgoingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || hopByHop.has(name) || credentials.has(name) || named.has(name)) continue
    if (name.startsWith('x-forwarded-') || leading.test(name) || String(value).includes(options.virtualKey)) continue
    kept[name] = value
  }
  const { 'anthropic-beta': betas } = kept
  if (typeof betas === 'string') {
    kept['anthropic-beta'] = withinWindow(betas, options.context)
    if (kept['anthropic-beta'] === '') delete kept['anthropic-beta']
  }
  kept['accept-encoding'] = 'identity' // a compressed answer cannot be metered
  if (options.bytes > 0) kept['content-length'] = options.bytes
  const { dialect, realKey, keyHeader = null } = options
  return { ...kept, ...(keyHeader === null ? credentialFor(dialect, realKey) : { [keyHeader]: realKey }) }
}

/** The least window that this beta opens: what was held for a model with a smaller one would not pay for it. */
const wideWindow = 1_000_000

function withinWindow(betas: string, context: number | null): string {
  const isWide = (name: string): boolean => /context-1m/i.test(name)
  if (context === null || context >= wideWindow || !isWide(betas)) return betas
  const names = betas.split(',').map((name) => name.trim())
  return names.filter((name) => !isWide(name)).join(',')
}

const credentialFor = (dialect: Dialect, key: string): OutgoingHttpHeaders =>
  dialect === 'anthropic-messages'
    ? { 'x-api-key': key }
    : dialect === 'gemini'
      ? { 'x-goog-api-key': key }
      : { authorization: `Bearer ${key}` }

/** Headers for the client: the provider's, without hop-by-hop and cookies, the key masked. */
export function responseHeaders(headers: IncomingHttpHeaders, realKey: string): OutgoingHttpHeaders {
  const named = listed(headers.connection)
  const kept: OutgoingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name === 'set-cookie' || named.has(name)) continue
    if (hopByHop.has(name) && name !== 'content-length') continue
    kept[name] = Array.isArray(value) ? value.map((each) => mask(each, realKey)) : mask(value, realKey)
  }
  return kept
}

const listed = (connection: string | undefined): Set<string> =>
  new Set((connection ?? '').split(',').map((name) => name.trim().toLowerCase()))

const mask = (text: string, key: string): string => (key === '' ? text : text.replaceAll(key, '*'.repeat(key.length)))

export type Masker = { push(chunk: Buffer): Buffer; flush(): Buffer }

/** Masks a key in a stream of bytes, also where it lies across chunks. Keeps back only bytes that may be the beginning of the key. */
export function maskStream(key: string): Masker {
  const needle = Buffer.from(key)
  let kept = Buffer.alloc(0)
  if (needle.length === 0) return { push: (chunk) => chunk, flush: () => kept }
  const isInKey = new Uint8Array(256)
  for (const byte of needle) isInKey[byte] = 1
  return {
    push(chunk) {
      // the usual case: whole events, whose last byte is a line's end
      if (kept.length === 0 && isInKey[chunk[chunk.length - 1]!] === 0 && chunk.indexOf(needle) < 0) return chunk
      let bytes = kept.length > 0 ? Buffer.concat([kept, chunk]) : chunk
      let found = bytes.indexOf(needle)
      if (found >= 0) bytes = Buffer.from(bytes) // the chunk is the socket's own memory
      for (; found >= 0; found = bytes.indexOf(needle, found)) bytes.fill(42, found, found + needle.length)
      const tail = beginning(bytes, needle)
      kept = Buffer.from(bytes.subarray(bytes.length - tail))
      return bytes.subarray(0, bytes.length - tail)
    },
    flush() {
      const rest = kept
      kept = Buffer.alloc(0)
      return rest
    },
  }
}

/** How many bytes at the end of `bytes` are a proper beginning of `needle`. */
function beginning(bytes: Buffer, needle: Buffer): number {
  const most = Math.min(bytes.length, needle.length - 1)
  const from = bytes.subarray(bytes.length - most)
  for (let at = from.indexOf(needle[0]!); at >= 0; at = from.indexOf(needle[0]!, at + 1))
    if (from.subarray(at).equals(needle.subarray(0, from.length - at))) return from.length - at
  return 0
}
