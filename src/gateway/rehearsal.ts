/**
 * What the gateway's tests need around it: a loopback provider that answers from a script and remembers what reached it, and a client that hides
 * nothing. For tests only.
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
import { realWorld } from '../host/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { grantKey } from '../store/ledger.ts'
import { bodyOf, familyFor, models, streamOf, type Used } from './canned.ts'
import { createGateway, type Gateway, type GatewayEvent, type GatewayOptions, type Upstream } from './gateway.ts'
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

export const used: Used = { input: 1000, cached: 200, output: 50 }
/** 60 bytes: 20 tokens to the estimate, 15 to a provider that counts four bytes. */
export const word = 'x'.repeat(60)

/** Speaks `words` words a millisecond apart, as long as anyone listens; `after` ends it. Returns how many were said. */
export async function speak(
  dialect: Dialect,
  response: ServerResponse,
  words: number,
  after: (all: string) => void,
): Promise<number> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const all = streamOf(dialect, { ...used, output: words * 15 }, [word])
  const events = all.split(/(?<=\n\r?\n)/)
  const at = events.findIndex((event) => event.includes(word))
  response.write(events.slice(0, at).join(''))
  for (let said = 0; said < words; said++) {
    if (response.destroyed) return said
    response.write(events[at]!)
    await realWorld().timer.sleep(1)
  }
  after(events.slice(at + 1).join(''))
  return words
}

export const realKey = 'sk-real-0123456789abcdef'

export type Stage = {
  gateway: Gateway
  provider: Provider
  database: Database
  events: GatewayEvent[]
  /** Resolves when so many requests are settled. */
  settled(count: number): Promise<void>
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
    /** Laid over everything, once the provider's URL is known. */
    over?: (url: string) => Partial<GatewayOptions>
    wrap?: (database: Database) => Database
  } = {},
): Promise<Stage> {
  const world = realWorld()
  const provider = await startProvider(script)
  const folder = mkdtempSync(join(tmpdir(), 'gw-'))
  const database = (options.wrap ?? ((same) => same))(openDatabase(':memory:'))
  const events: GatewayEvent[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const countSettled = () => events.filter(({ type }) => type === 'request.settled').length
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
      onEvent: (event) => {
        events.push(event)
        for (const { count, resolve } of waiting) if (countSettled() >= count) resolve()
      },
      ...options.over?.(provider.url),
    })
  let count = 0
  const stage: Stage = {
    gateway: await start(),
    provider,
    database,
    events,
    folder,
    settled: (wanted) =>
      new Promise((resolve) => {
        if (countSettled() >= wanted) resolve()
        else waiting.push({ count: wanted, resolve })
      }),
    async enter(dialect, other = {}) {
      const key = `vk-${world.secret(16)}`
      const grant: Grant = {
        attempt: `attempt_${++count}`,
        task: 'task_1',
        repo: 'repo_1',
        repoName: 'shop',
        stage: 'implement',
        lane: 'normal',
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
