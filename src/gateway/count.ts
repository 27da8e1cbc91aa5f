/**
 * Asking a provider how many tokens a request has. A bound by bytes is some four times too high for text, so a first long request may look as if it
 * could not be paid; before it is refused for that, it is counted.
 *
 * Nothing is held for the question, so it goes to paths alone that the three vendors serve for nothing (facts/budget.md §2), and never where a key could be
 * billed for it. No answer, a refusal, a number that cannot be: it is not counted, and its bytes decide.
 */
import { createHash } from 'node:crypto'
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { Asked } from './request.ts'
import { requestHeaders } from './header.ts'
import type { Live } from './live.ts'
import { upstreamUrl, type Dialect, type Route } from './route.ts'
import { membersOf, setMember, splice } from './splice.ts'
import { ask } from './upstream.ts'
import type { Flight } from './flight.ts'
import type { Upstream } from './gateway.ts'

export type Count = {
  /** What the provider counted; null: nothing, or not yet. */
  tokens(): number | null
  /** Asks, once. True while the answer may still come; `told` is called when it has, or never will. */
  isUnderWay(told: () => void): boolean
}

/** Where counting is free. What a further family's server bills for is not known. */
const countPaths: Readonly<Record<string, Partial<Record<Dialect, (route: Route) => string>>>> = {
  anthropic: { 'anthropic-messages': ({ path }) => path.replace('/v1/messages', '/v1/messages/count_tokens') },
  openai: { 'openai-responses': () => '/v1/responses/input_tokens' },
  google: { gemini: ({ path }) => path.replace(/:.*$/, ':countTokens') },
}

/** Fields a counting endpoint knows; others make it refuse. */
const countedFields: Partial<Record<Dialect, readonly string[]>> = {
  'anthropic-messages': [
    'model',
    'messages',
    'system',
    'tools',
    'tool_choice',
    'thinking',
    'output_config',
    'output_format',
    'context_management',
  ],
  'openai-responses': ['model', 'input', 'instructions', 'tools', 'tool_choice', 'text', 'reasoning', 'truncation'],
}

const longestAnswer = 64 * 1024
const keptCounts = 16

/** Counting for one request; the digest of what would be asked is looked up first. */
export function counterFor(state: Flight, asked: Asked, upstream: Upstream, headers: IncomingHttpHeaders): Count {
  const { live, route } = state
  const path = countPaths[upstream.family]?.[route.dialect]?.(route)
  if (path === undefined) return { tokens: () => null, isUnderWay: () => false }
  let begun = false
  let open = false
  let tokens: number | null = null
  const begin = async (): Promise<void> => {
    const body = countBody(route, asked)
    const digest = createHash('sha256').update(path).update(body).digest('hex')
    tokens = live.counts.get(digest) ?? (await askFor(state, { path, body, upstream, headers }))
    if (tokens !== null) keep(live, digest, tokens)
  }
  return {
    tokens: () => tokens,
    isUnderWay(told) {
      if (!begun) {
        ;[begun, open] = [true, true]
        void begin()
          .catch((error: unknown) =>
            state.wiring.emit({ type: 'gateway.failed', attempt: live.grant.attempt, error: String(error) }),
          )
          .finally(() => {
            open = false
            told()
          })
      }
      return open
    },
  }
}

function keep({ counts }: Live, digest: string, tokens: number): void {
  counts.delete(digest)
  counts.set(digest, tokens)
  for (const oldest of [...counts.keys()].slice(0, Math.max(0, counts.size - keptCounts))) counts.delete(oldest)
}

/** What is counted: the body as it would leave, without what only says how to answer. */
function countBody({ dialect, model }: Pick<Route, 'dialect' | 'model'>, asked: Pick<Asked, 'body'>): Buffer {
  const body = asked.body(null)
  if (dialect === 'gemini') {
    const named = splice(body, [setMember(body, 'model', JSON.stringify(`models/${model}`))])
    return Buffer.concat([Buffer.from('{"generateContentRequest":'), named, Buffer.from('}')])
  }
  const members = membersOf(body) ?? new Map<string, never>()
  const kept = (countedFields[dialect] ?? []).flatMap((name) => {
    const span = members.get(name)
    return span ? [`${JSON.stringify(name)}:${body.toString('utf8', span.start, span.end)}`] : []
  })
  return Buffer.from(`{${kept.join(',')}}`)
}

type Question = { path: string; body: Buffer; upstream: Upstream; headers: IncomingHttpHeaders }

async function askFor(state: Flight, { path, body, upstream, headers }: Question): Promise<number | null> {
  const { wiring, route, key } = state
  const outgoing: OutgoingHttpHeaders = requestHeaders(headers, {
    dialect: route.dialect,
    virtualKey: key,
    realKey: upstream.key(),
    keyHeader: upstream.keyHeader ?? null,
    bytes: body.length,
    context: null,
  })
  const url = upstreamUrl(upstream.baseUrl, path, upstream.apiVersion)
  const ending = new AbortController()
  const cancel = wiring.world.timer.after(wiring.timeouts.countMs, () => ending.abort())
  const signal = AbortSignal.any([ending.signal, state.over])
  try {
    const hangUp = (request: ClientRequest) => {
      if (signal.aborted) request.destroy()
      else signal.addEventListener('abort', () => request.destroy(), { once: true })
    }
    const reply = await ask(wiring, { method: 'POST', url, headers: outgoing, body }, hangUp, () => signal.aborted)
    return 'error' in reply ? null : tokensIn(await read(reply.response), reply.response.statusCode)
  } finally {
    cancel()
  }
}

async function read(response: IncomingMessage): Promise<string> {
  let text = ''
  try {
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk
      if (text.length > longestAnswer) break // leaving the loop hangs up
    }
    return text
  } catch {
    return '' // it broke off: nothing was counted
  }
}

/** All three answer with one number; a context of none is no answer. */
function tokensIn(text: string, status = 0): number | null {
  if (status !== 200) return null
  const [, written = ''] = /"(?:input_tokens|totalTokens)"\s*:\s*(\d{1,9})\s*[,}]/.exec(text) ?? []
  return Number(written) > 0 ? Number(written) : null
}
