/** What every part of the gateway is given: the world, the books, the way out. Types and defaults only. */
import type { Agent as HttpAgent } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import type { Limits } from '../core/budget.ts'
import type { Family } from '../core/family.ts'
import type { PriceTable } from '../core/price.ts'
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import type { CoolDowns } from './cool-downs.ts'
import type { GatewayEvent, Upstream } from './gateway.ts'
import type { Turnstile } from './turnstile.ts'

export type Timeouts = {
  /** For a client to send its headers, and then its whole request. */
  headersMs: number
  requestMs: number
  /** For a connection to a provider to be made. */
  connectMs: number
  /** For a provider to count a request's tokens. */
  countMs: number
  /** Without a byte from the provider, or taken by the client. */
  idleMs: number
  /** For a request to wait before it leaves; null: as long as its client waits. */
  patienceMs: number | null
  /** Between two looks at a silent stream: at full decoding speed less than one frame's tokens may pass unseen. */
  tickMs: number
}

export const defaultTimeouts: Timeouts = {
  headersMs: 15_000,
  requestMs: 120_000,
  connectMs: 20_000,
  countMs: 15_000,
  idleMs: 900_000,
  patienceMs: null,
  tickMs: 150,
}

/** Largest request: above what any provider takes. */
export const maxBodyBytes = 32 * 1024 * 1024
/** What one attempt may have under way at once: many times what a client with sub-agents asks, and no more memory than a daemon has. */
export const mostInFlight = 200
export const mostBodyBytes = 4 * maxBodyBytes

export type Wiring = {
  world: World
  database: Database
  /** One transaction, as `database.write`, in one commit with those of all requests that move in this turn of the event loop. */
  write: Database['write']
  upstreams: readonly Upstream[]
  prices: PriceTable
  limits: Limits
  families: Readonly<Record<string, Family>>
  timeouts: Timeouts
  agents: { http: HttpAgent; https: HttpsAgent }
  turnstile: Turnstile
  coolDowns: CoolDowns
  /** The breaker has just tripped: everything that spends is to be ended. */
  tripped(why: string): void
  verbatim?: true
  emit(event: GatewayEvent): void
  moved(attempt: string, kind: 'bytes' | 'waiting'): void
}
