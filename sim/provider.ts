/**
 * A model provider on loopback that real clients believe: four dialects, streaming and not, usage, limits, faults on command.
 *
 *     request → route → fault? → decode → scenario → tool of this client → tokens → encode
 *
 * What it answers follows from the scenario and the request alone; moments come from the World. It never reaches another host,
 * never enforces a limit, and never keeps a body unless asked to.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { familyOf } from '../src/core/family.ts'
import { isRefusal } from '../src/core/refusal.ts'
import type { World } from '../src/host/world.ts'
import { asObject } from './dialect/dialect.ts'
import type { Ask, Dialect, Json } from './dialect/dialect.ts'
import { sendFault, sendJson, sendReply } from './delivery.ts'
import type { Delivery } from './delivery.ts'
import type { RequestRecord } from './record.ts'
import { fingerprint, presentedKey, routeOf } from './route.ts'
import { chooseStep, freshMemory, readScenario } from './scenario.ts'
import type { Scenario, ScenarioMemory, Step } from './scenario.ts'
import { express, smallestOf, workFolder } from './toolbox.ts'
import type { Spoken } from './toolbox.ts'
import { countAnswer, deriveTokens, emptyWindow, limitHeaders, spend } from './usage.ts'
import type { Window } from './usage.ts'
import { faultBook, readFaults, takeFault } from './wire-fault.ts'
import type { FaultBook, WireFault } from './wire-fault.ts'

export type ProviderOptions = {
  world: World
  scenario: Scenario
  faults?: readonly WireFault[]
  /** Keys let in; without it any key, or none, is. */
  keys?: readonly string[]
  keepBodies?: boolean
  /** Called when a request ended. */
  log?: (record: RequestRecord) => void
}

export type Provider = {
  url: string
  port: number
  /** Of all requests so far, in order of arrival; the last fields fill in as the answer goes out. */
  requests: readonly RequestRecord[]
  setScenario(scenario: Scenario): void
  /** Replaces all faults; counters begin at zero. */
  setFaults(faults: readonly WireFault[]): void
  [Symbol.asyncDispose](): Promise<void>
}

type Room = {
  options: ProviderOptions
  requests: RequestRecord[]
  scenario: Scenario
  memory: ScenarioMemory
  book: FaultBook
  windows: Map<string, Window>
}

/** Starts a provider on 127.0.0.1, any free port. Rejects where it cannot listen. */
export async function startProvider(options: ProviderOptions): Promise<Provider> {
  const room: Room = {
    options,
    requests: [],
    scenario: options.scenario,
    memory: freshMemory(),
    book: faultBook(options.faults ?? []),
    windows: new Map(),
  }
  // A rejection here is a bug of ours and ends the process: that is wanted.
  const server = createServer((request, response) => void serve(room, request, response))
  server.requestTimeout = 0
  server.keepAliveTimeout = 0 // idle connections are closed by dispose, never in the face of a client about to reuse one
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests: room.requests,
    setScenario: (scenario) => setScenario(room, scenario),
    setFaults: (faults) => void (room.book = faultBook(faults)),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function setScenario(room: Room, scenario: Scenario): void {
  room.scenario = scenario
  room.memory = freshMemory()
}

async function serve(room: Room, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.sendDate = false // the machine's clock would make equal answers differ
  response.on('error', () => {}) // a client that went away is in the record as cut
  const raw = await readBody(request)
  if (raw === null) return
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://loopback')
  const method = request.method ?? 'GET'
  const route = routeOf(method, pathname)
  if (route.kind === 'control') return control(room, method, raw, response)

  const dialect = 'dialect' in route ? route.dialect : null
  const ask = dialect ? dialect.decode(parse(raw) ?? {}, pathname) : null
  const record = openRecord(room, request, raw, dialect, ask)
  const delivery = openDelivery(room, response, record, dialect, searchParams)
  const { keys } = room.options
  if (keys && route.kind !== 'hello' && (record.key === null || !keys.includes(record.key)))
    return sendJson(delivery, 401, errorOf(dialect, 401, 'invalid x-api-key'))
  const fault = takeFault(room.book, `${method} ${pathname}`, record.family)
  if (route.kind === 'model' && ask) {
    if (parse(raw) === null) return sendJson(delivery, 400, errorOf(dialect, 400, 'the body is not a JSON object'))
    return answerModel(room, route.dialect, ask, { raw, pathname, fault, delivery })
  }
  if (fault) return sendFault(delivery, fault, null)
  if (route.kind === 'count') return sendJson(delivery, 200, countAnswer(route.dialect.family, raw.length))
  if (route.kind === 'models') return sendJson(delivery, 200, { object: 'list', data: [], models: [], has_more: false })
  if (route.kind === 'hello') return sendJson(delivery, 200, {})
  return sendJson(delivery, 404, errorOf(null, 404, `no such path on this provider: ${pathname}`))
}

type Question = { raw: string; pathname: string; fault: WireFault | null; delivery: Delivery }

async function answerModel(room: Room, dialect: Dialect, ask: Ask, question: Question): Promise<void> {
  const { raw, pathname, fault, delivery } = question
  const { record, now } = delivery
  if (fault && (fault.action === undefined || fault.action === 'reset' || fault.action === 'hang'))
    return sendFault(delivery, fault, null)

  const family = record.family ?? dialect.family
  const choice = chooseStep(room.scenario, ask, family, room.memory)
  record.rule = choice.rule
  record.step = Object.keys(choice.step).find((key) => key !== 'usage') ?? null
  if ('fault' in choice.step) return sendFault(delivery, choice.step.fault, null)

  const { text, call } = speak(choice.step, ask, raw, choice.rule === null)
  const replyBytes = Buffer.byteLength(text + (call ? JSON.stringify(call) : ''))
  const requestBytes = Buffer.byteLength(raw)
  const sizes = { requestBytes, replyBytes, toolResults: ask.toolResults, family: dialect.family }
  const tokens = deriveTokens(sizes, choice.usage)
  const reply = { text, call, tokens, id: fingerprint(pathname, raw), mark: choice.mark, createdAt: now }
  const window = spend(room.windows.get(dialect.family) ?? emptyWindow(now), now, tokens)
  room.windows.set(dialect.family, window)
  Object.assign(delivery.headers, limitHeaders(dialect.family, window, now))
  Object.assign(delivery.headers, {
    [dialect.family === 'anthropic' ? 'request-id' : 'x-request-id']: `req_${reply.id}`,
  })
  const answer = {
    tokens,
    frames: ask.stream ? dialect.encodeStream(ask, reply) : null,
    whole: () => dialect.encode(ask, reply),
  }
  if ('hang' in choice.step) return sendFault(delivery, { action: ask.stream ? 'midhang' : 'hang' }, answer)
  return fault ? sendFault(delivery, fault, answer) : sendReply(delivery, answer)
}

function speak(step: Exclude<Step, { fault: unknown }>, ask: Ask, raw: string, isErrand: boolean): Spoken {
  if ('hang' in step) return { text: 'Let me think about that.', call: null }
  // A side errand that wants JSON (a client's router) gets the smallest one its schema allows, so that the client goes on.
  if (isErrand && ask.json) return { text: JSON.stringify(smallestOf(ask.json.schema)), call: null }
  return express(step, ask, workFolder(raw))
}

function openRecord(room: Room, request: IncomingMessage, raw: string, dialect: Dialect | null, ask: Ask | null) {
  const path = request.url ?? '/'
  const record: RequestRecord = {
    n: room.requests.length + 1,
    at: room.options.world.clock.now(),
    method: request.method ?? 'GET',
    path,
    dialect: dialect?.name ?? null,
    family: dialect ? (familyOf(ask?.model ?? '') ?? dialect.family) : null,
    model: ask?.model || null,
    key: presentedKey(request.headers, new URL(path, 'http://loopback').searchParams),
    userAgent: request.headers['user-agent'] ?? null,
    bytes: Buffer.byteLength(raw),
    tools: ask?.tools.map((tool) => tool.name) ?? [],
    toolResults: ask?.toolResults ?? 0,
    rule: null,
    step: null,
    fault: null,
    status: 0,
    tokens: null,
    ended: 'open',
    ...(room.options.keepBodies ? { body: raw } : {}),
  }
  room.requests.push(record)
  return record
}

function openDelivery(
  room: Room,
  response: ServerResponse,
  record: RequestRecord,
  dialect: Dialect | null,
  query: URLSearchParams,
): Delivery {
  const gone = new AbortController()
  response.once('close', () => {
    record.ended = response.writableFinished ? 'finished' : 'cut'
    gone.abort()
    room.options.log?.(record)
  })
  const { world } = room.options
  return {
    response,
    record,
    dialect,
    headers: {},
    now: world.clock.now(),
    pause: (ms) => world.timer.sleep(ms, gone.signal),
    // Gemini streams a JSON array unless asked for events.
    asArray: dialect?.name === 'gemini' && query.get('alt') !== 'sse',
  }
}

const errorOf = (dialect: Dialect | null, status: number, message: string): Json =>
  dialect
    ? dialect.encodeError(status, message)
    : { error: { type: status === 401 ? 'authentication_error' : 'not_found_error', message } }

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch {
    return null // the client went away while it spoke: there is nobody to answer
  }
  const whole = Buffer.concat(chunks)
  // Codex compresses with zstd when it is logged in to ChatGPT.
  const open = { zstd: zstdDecompressSync, gzip: gunzipSync, br: brotliDecompressSync, deflate: inflateSync }
  const coding = request.headers['content-encoding'] as keyof typeof open | undefined
  return (coding && open[coding] ? open[coding](whole) : whole).toString('utf8')
}

function parse(raw: string): Json | null {
  try {
    const value: unknown = JSON.parse(raw)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null
  } catch {
    return null
  }
}

/** POST {scenario?, faults?} sets them, GET reads the records: for tests that live in another process. */
function control(room: Room, method: string, raw: string, response: ServerResponse): void {
  const reply = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  if (method === 'GET') return reply(200, { requests: room.requests, faultsGiven: room.book.given })
  const wish = asObject(parse(raw))
  const scenario = wish.scenario === undefined ? null : readScenario(wish.scenario)
  const faults = wish.faults === undefined ? null : readFaults(wish.faults)
  if (isRefusal(scenario)) return reply(400, scenario)
  if (isRefusal(faults)) return reply(400, faults)
  if (scenario) setScenario(room, scenario)
  if (faults) room.book = faultBook(faults)
  reply(200, { scenario: scenario !== null, faults: faults !== null })
}
