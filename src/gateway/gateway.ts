/**
 * The gateway: the only place that talks to a model provider and the only holder of real keys.
 *
 *     agent ──virtual key──▶ admit → hold → forward → meter → settle ──real key──▶ provider
 *
 * No request leaves before its hold is committed. An unknown model or price is refused, never $0. Bodies are never logged.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { dayPath, type DayLimits, type Grant, type Limits } from '../core/budget.ts'
import { dayOf } from '../core/day.ts'
import type { Family } from '../core/family.ts'
import type { PriceTable } from '../core/price.ts'
import type { ProviderTools } from '../core/provider-tool.ts'
import { Fault } from '../host/fault.ts'
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { hashKey, keyOwner, recoverHolds, revokeAllKeys, revokeKeys, setLimit } from '../store/ledger.ts'
import { setPace } from '../store/pace.ts'
import { loadTask } from '../store/task.ts'
import { createCoolDowns, type Closed, type CoolDowns } from './cool-downs.ts'
import { gathering } from './gathering.ts'
import { enter, judge, reportOf, type Live } from './live.ts'
import { connectionsThrough, type ProxyEnv } from './proxy.ts'
import { createTurnstile } from './turnstile.ts'
import { listenSocket, listenTcp, stopServer } from './server.ts'
import { defaultTimeouts, type Timeouts, type Wiring } from './wiring.ts'

export type { Grant } from '../core/budget.ts'

/** Real upstream of a family. */
export type Upstream = {
  family: Family
  baseUrl: string
  key: () => string
  /** The key before a rotation, while it may still be used where the provider does not know the new one. */
  before?: () => string | null
  /** The header the key goes in, where it is not the dialect's own. */
  keyHeader?: 'api-key'
  /** Goes into every request's query. */
  apiVersion?: string
  /** Goes on generating and billing after we hang up. Default: all but anthropic and openai (facts/budget.md §2). */
  billsAfterAbort?: boolean
  /** What it may do by itself; absent: nothing. */
  tools?: ProviderTools
}

/** `input` is what was neither read from nor written to a cache: the four kinds do not overlap. */
export type Usage = {
  requests: number
  input: number
  cachedInput: number
  cacheWrite: number
  output: number
  costNanoUsd: number
  heldNanoUsd: number
}

/** What the wire showed of an attempt: its tokens and money, the last refusal if any, and when it last moved. */
export type WireReport = Usage & {
  /** Models seen on the wire. */
  models: string[]
  /** Set when the gateway or the provider ended it; a later answer clears all but `over-budget`. */
  verdict: 'over-budget' | 'rate-limited' | 'refused' | 'unreachable' | null
  reason: string | null
  /** For `over-budget`: the limit that was reached: an account, `minute` (pacer and breaker), `burst`, `waste`. */
  scope: string | null
  /** How long its requests were held back. */
  waitedMs: number
  /** It asked for a model of a second family, whose reviews could no longer be another's: nothing of it counts, and nothing more is let in. Null: it did not. */
  voided: string | null
  /** How often its provider did what by itself, and what that cost beside the tokens. */
  tools: { uses: Record<string, number>; nanoUsd: number }
}

/** What the daemon may want to hear of. Never holds anything from a body. */
export type GatewayEvent =
  | { type: 'request.denied'; attempt: string | null; why: string; refused: string; model: string | null }
  | { type: 'budget.reached'; attempt: string; task: string; why: string; scope: string; cut: boolean }
  | { type: 'breaker.tripped'; why: string; attempts: string[] }
  /** Each name once for an attempt: what was taken out of a request, and what was let through. */
  | { type: 'tools.stripped' | 'tools.passed'; attempt: string; task: string; tools: string[] }
  | { type: 'request.settled'; attempt: string; model: string; nanoUsd: number; how: 'exact' | 'estimated' | 'free' }
  | { type: 'holds.recovered'; holds: number; nanoUsd: number }
  | { type: 'gateway.failed'; attempt: string | null; error: string }

export type Gateway = {
  /** Loopback URL for the group rung: `http://127.0.0.1:PORT`. */
  url: string
  /** Opens one socket for an attempt (0600); `grant` must be written already (`grantKey`). Faults: `key-unknown`, `socket-path-too-long`. */
  open(key: string, grant: Grant): Promise<{ socket: string }>
  /** Ends a key at once: requests in flight are cut, later ones denied. Safe to call twice. */
  revoke(attempt: string): Promise<void>
  /** As `revoke`, and says why: the attempt is over its budget in this scope. */
  halt(attempt: string, limit: { scope: string; why: string }): Promise<void>
  /** Goes by other limits from now on, also for what is in flight. */
  adjust(limits: DayLimits & Pick<Limits, 'pace'>): Promise<void>
  report(attempt: string): WireReport
  /** Models that no new work should be started on now, and until when. */
  closed(): Closed[]
  /** How long requests have been waiting for the pacer without a break, in milliseconds; 0: none waits. */
  pacerEmptyMs(): number
  /**
   * Called on every byte of an answer to an attempt: the wire's part of its activity. `waiting`, every second at least, while a request is held back or
   * the model has not answered yet. A refusal is neither.
   */
  onActivity(listener: (attempt: string, kind: 'bytes' | 'waiting') => void): () => void
  [Symbol.asyncDispose](): Promise<void>
}

export type GatewayOptions = {
  world: World
  database: Database
  upstreams: readonly Upstream[]
  prices: PriceTable
  limits: Limits
  /** Folder of the sockets, made 0700; short, because a socket's path ends at 107 bytes. */
  folder: string
  /** Families of models whose names do not tell. */
  families?: Readonly<Record<string, Family>>
  /** The proxy of this machine's network, if it has one. */
  proxy?: ProxyEnv | null
  timeouts?: Partial<Timeouts>
  /** A provider's no goes through as it is and at once: for who asks it in a person's name. */
  verbatim?: true
  onEvent?: (event: GatewayEvent) => void
}

/** Reports of ended attempts that are kept to be asked for. */
const keptReports = 1000
const longestSocketPath = 107

/**
 * Starts the gateway. All keys of earlier daemons are dead from here on, and what they held is charged in full; so make it before granting keys.
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { world, database } = options
  mkdirSync(options.folder, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(options.folder))
    if (/^(?:\d+|setup-[0-9a-f]+)\.sock$/.test(name)) rmSync(join(options.folder, name))
  const lives = new Map<string, Live>()
  const listeners = new Set<(attempt: string, kind: 'bytes' | 'waiting') => void>()
  const coolDowns = await createCoolDowns(
    world,
    database,
    (error) => options.onEvent?.({ type: 'gateway.failed', attempt: null, error: String(error) }),
    (family) => options.upstreams.find((each) => each.family === family)?.key() ?? '',
  )
  const wiring = wire(options, coolDowns, listeners, (why) => {
    const spending = [...lives.values()].filter(({ revoked }) => !revoked).map(({ grant }) => grant.attempt)
    if (spending.length === 0) return // several streams can hit the edge at once
    wiring.emit({ type: 'breaker.tripped', why, attempts: spending })
    for (const attempt of spending)
      void halt(attempt, { scope: 'minute', why }).catch((error: unknown) =>
        wiring.emit({ type: 'gateway.failed', attempt, error: String(error) }),
      )
  })
  const recovered = await database.write(async (tx) => {
    await setPace(tx, options.limits.pace, world.clock.now())
    await revokeAllKeys(tx, world.clock.now())
    return recoverHolds(tx, world.clock.now())
  })
  if (recovered.holds > 0) wiring.emit({ type: 'holds.recovered', ...recovered })
  const byKey = new Map<string, Live>()
  const tcp = await listenTcp(wiring, (hash) => byKey.get(hash))
  let sockets = 0

  const revoke = async (attempt: string): Promise<void> => {
    const live = lives.get(attempt)
    if (live) live.revoked = true // before anything is awaited: from here on nothing new is let in, and nobody hears another byte
    for (const exchange of live?.exchanges ?? []) exchange.abort('revoked')
    await database.write((tx) => revokeKeys(tx, attempt, world.clock.now()))
    if (!live) return
    byKey.delete(live.keyHash)
    await leave(live)
    prune(lives)
  }
  const halt: Gateway['halt'] = async (attempt, { scope, why }) => {
    const live = lives.get(attempt)
    if (live) judge(live, 'over-budget', why, scope)
    await revoke(attempt)
  }
  return {
    url: tcp.url,
    async open(key, grant) {
      const keyHash = hashKey(key)
      const owner = await database.read((reader) => keyOwner(reader, keyHash))
      if (owner !== grant.attempt || lives.has(grant.attempt))
        throw new Fault('key-unknown', `no fresh key of attempt ${grant.attempt} is granted`)
      const path = join(options.folder, `${++sockets}.sock`)
      if (Buffer.byteLength(path) > longestSocketPath)
        throw new Fault('socket-path-too-long', `${path} is longer than a socket's path may be`, {
          hint: 'use a shorter state folder',
        })
      const live = enter(grant, keyHash)
      await database.write(async (tx) => {
        const said = (await loadTask(tx, grant.scope.slice('task/'.length)))?.budgetNanoUsd // a person may have raised it since the grant
        await setLimit(tx, grant.scope, said ?? grant.limitNanoUsd)
      }) // before anything can be asked with this key
      lives.set(grant.attempt, live)
      byKey.set(keyHash, live)
      live.server = await listenSocket(wiring, path, live)
      return { socket: path }
    },
    revoke,
    halt,
    async adjust(limits) {
      wiring.limits = { ...wiring.limits, ...limits }
      await database.write(async (tx) => {
        await setPace(tx, limits.pace, world.clock.now())
        const day = dayOf(world.clock.now())
        await setLimit(tx, `day/${day}`, limits.dayNanoUsd) // what is in flight draws on it, too, and on its repository's and family's
        for (const { grant, revoked } of lives.values())
          if (!revoked) for (const { scope, limit } of dayPath(grant, limits, day)) await setLimit(tx, scope, limit)
      })
      wiring.turnstile.look()
    },
    closed: coolDowns.closed,
    pacerEmptyMs: () => wiring.turnstile.emptyMs(),
    report: (attempt) => reportOf(lives.get(attempt)),
    onActivity(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...lives.keys()].map(revoke))
      await stopServer(tcp.server)
      wiring.agents.http.destroy()
      wiring.agents.https.destroy()
    },
  }
}

function wire(
  options: GatewayOptions,
  coolDowns: CoolDowns,
  listeners: Set<(attempt: string, kind: 'bytes' | 'waiting') => void>,
  tripped: (why: string) => void,
): Wiring {
  const together = gathering()
  return {
    ...options,
    write: (body) => together().then(() => options.database.write(body)),
    families: options.families ?? {},
    timeouts: { ...defaultTimeouts, ...options.timeouts },
    agents: connectionsThrough(options.proxy ?? null),
    turnstile: createTurnstile(options.world),
    coolDowns,
    tripped,
    emit: (event) => options.onEvent?.(event),
    moved: (attempt, kind) => {
      for (const listener of listeners) listener(attempt, kind)
    },
  }
}

/** Waits until what was in flight is settled, and closes the socket. */
async function leave(live: Live): Promise<void> {
  await Promise.all([...live.exchanges].map(({ done }) => done))
  live.anchors = []
  const { server } = live
  live.server = null
  if (server) await stopServer(server)
}

function prune(lives: Map<string, Live>): void {
  const ended = [...lives.values()].filter((live) => live.revoked && live.exchanges.size === 0)
  for (const { grant } of ended.slice(0, Math.max(0, ended.length - keptReports))) lives.delete(grant.attempt)
}
