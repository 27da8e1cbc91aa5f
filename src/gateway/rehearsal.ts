/**
 * What the gateway's tests need around it: a loopback provider that answers from a script and remembers what reached it, a client that hides
 * nothing, and answers of all four APIs as they look on the wire. For tests only.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import {
  createServer,
  request as requestHttp,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLimits, type Grant, type Limits } from '../core/budget.ts'
import type { Family } from '../core/family.ts'
import { realWorld } from '../host/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { grantKey } from '../store/ledger.ts'
import { createGateway, type Gateway, type GatewayEvent, type Upstream } from './gateway.ts'
import { loadPrices } from './prices.ts'
import type { Dialect } from './route.ts'
import type { Timeouts } from './wiring.ts'

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex')

export type Arrived = { method: string; url: string; headers: IncomingHttpHeaders; body: Buffer }
export type Script = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void | Promise<void>

export type Provider = { url: string; arrived: Arrived[]; aborted(): number; script: Script; close(): Promise<void> }

/** A provider on loopback. `script` may be replaced between requests. */
export async function startProvider(script: Script): Promise<Provider> {
  let aborted = 0
  const provider: Provider = { url: '', arrived: [], aborted: () => aborted, script, close: () => Promise.resolve() }
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const body = Buffer.concat(parts)
      provider.arrived.push({ method: request.method!, url: request.url!, headers: request.headers, body })
      void provider.script(request, response, body)
    })
    response.on('close', () => {
      if (!response.writableFinished) aborted++
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  provider.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  provider.close = () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return provider
}

export type Heard = { status: number; headers: IncomingHttpHeaders; body: Buffer; broken: boolean }

/** Sends a request and hears the answer out. `broken`: the connection ended before the answer did. */
export function tell(
  to: { url?: string; socket?: string },
  options: {
    method?: string
    path: string
    headers?: Record<string, string>
    body?: string | Buffer
    signal?: AbortSignal
    onData?: (bytes: Buffer) => void
  },
): Promise<Heard> {
  const { method = 'POST', path, headers = {}, body = '', signal } = options
  const target = to.socket ? { socketPath: to.socket } : { host: '127.0.0.1', port: new URL(to.url!).port }
  return new Promise((resolve, reject) => {
    const request = requestHttp(
      { ...target, method, path, headers, agent: false, ...(signal ? { signal } : {}) },
      (response) => {
        const parts: Buffer[] = []
        const done = (broken: boolean) =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(parts), broken })
        response.on('data', (part: Buffer) => {
          parts.push(part)
          options.onData?.(part)
        })
        response.on('end', () => done(false))
        response.on('error', () => done(true))
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

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
          candidatesTokenCount: Math.min(n, used.output),
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

/** A script that answers every request of a dialect with the same tokens, in as many writes as there are events. */
export const answering =
  (dialect: Dialect, used: Used, words?: readonly string[]): Script =>
  (request, response, body) => {
    const stream =
      dialect === 'gemini'
        ? request.url!.includes(':stream')
        : (JSON.parse(body.toString()) as { stream?: boolean }).stream
    const type = stream ? 'text/event-stream' : 'application/json'
    const text = stream ? streamOf(dialect, used, words) : bodyOf(dialect, used)
    response.writeHead(200, { 'content-type': type, 'x-request-id': 'req_1' })
    for (const part of text.split(/(?<=\n\r?\n)/)) response.write(part)
    response.end()
  }

export const realKey = 'sk-real-0123456789abcdef'

export type Stage = {
  gateway: Gateway
  provider: Provider
  database: Database
  events: GatewayEvent[]
  folder: string
  /** Grants and opens an attempt of a dialect's family; returns its key and its socket. */
  enter(dialect: Dialect, other?: Partial<Grant>): Promise<{ key: string; attempt: string; socket: string }>
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A gateway before a loopback provider, with a database in memory and every family's real key the same. */
export async function setStage(
  script: Script,
  options: {
    limits?: Partial<Limits>
    timeouts?: Partial<Timeouts>
    upstreams?: readonly Upstream[]
    wrap?: (database: Database) => Database
  } = {},
): Promise<Stage> {
  const world = realWorld()
  const provider = await startProvider(script)
  const folder = mkdtempSync(join(tmpdir(), 'gw-'))
  const database = (options.wrap ?? ((same) => same))(openDatabase(':memory:'))
  const events: GatewayEvent[] = []
  const upstreams = (['anthropic', 'openai', 'google'] as const).map((family) => ({
    family,
    baseUrl: provider.url,
    key: () => realKey,
  }))
  const start = () =>
    createGateway({
      world,
      database,
      folder,
      prices: loadPrices(),
      limits: { ...defaultLimits, ...options.limits },
      upstreams: options.upstreams ?? upstreams,
      timeouts: options.timeouts ?? {},
      onEvent: (event) => void events.push(event),
    })
  let count = 0
  const stage: Stage = {
    gateway: await start(),
    provider,
    database,
    events,
    folder,
    async enter(dialect, other = {}) {
      const key = `vk-${world.secret(16)}`
      const grant: Grant = {
        attempt: `attempt_${++count}`,
        task: 'task_1',
        repo: 'repo_1',
        stage: 'implement',
        family: familyFor[dialect],
        models: [models[dialect]],
        grantedAt: world.clock.now(),
        scope: 'task/task_1',
        limitNanoUsd: 10_000_000_000,
        ...other,
      }
      await database.write((tx) => grantKey(tx, key, grant))
      return { key, attempt: grant.attempt, ...(await stage.gateway.open(key, grant)) }
    },
    async restart() {
      await stage.gateway[Symbol.asyncDispose]()
      stage.gateway = await start()
    },
    async [Symbol.asyncDispose]() {
      await stage.gateway[Symbol.asyncDispose]()
      await provider.close()
      database.close()
      rmSync(folder, { recursive: true })
    },
  }
  return stage
}

/** All money there is, for comparing: charges, and what is still held. */
export const books = (
  stage: Stage,
): Promise<{ charges: { how: string; nanoUsd: number }[]; held: number; spent: number }> =>
  stage.database.read(async (reader) => {
    const charges = await reader.all<{ how: string; nanoUsd: number }>(
      'select how, nano_usd as nanoUsd from charge order by hold',
    )
    const [sum] = await reader.all<{ held: number; spent: number }>(
      `select held_nano_usd as held, spent_nano_usd as spent from account where scope = 'task/task_1'`,
    )
    return { charges: charges.map((each) => ({ ...each })), held: sum?.held ?? 0, spent: sum?.spent ?? 0 }
  })
