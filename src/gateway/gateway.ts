/**
 * The port of the gateway: the only place that talks to a model provider and the only holder of real keys.
 *
 *     agent ──virtual key──▶ admit → hold → forward → meter → settle ──real key──▶ provider
 *
 * No request leaves before its hold is committed. An unknown model or price is refused, never $0. Bodies are never logged.
 */
import type { Family } from '../core/family.ts'

/** What a virtual key may do. Its fence is the attempt: it dies with it. */
export type Grant = {
  attempt: string
  task: string
  repo: string
  stage: string
  family: Family
  models: readonly string[]
  /** Epoch milliseconds, wall: only for people; the grant ends by `revoke`. */
  grantedAt: number
  /** The task's own limit and the scope it draws on (a sub-task draws on its root). */
  scope: string
  limitNanoUsd: number
}

/** Real upstream of a family. */
export type Upstream = { family: Family; baseUrl: string; key: () => string }

export type Usage = { requests: number; input: number; cachedInput: number; cacheWrite: number; output: number; costNanoUsd: number; heldNanoUsd: number }

/** What the wire showed of an attempt: its tokens and money, the last refusal if any, and when it last moved. */
export type WireReport = Usage & {
  /** Models seen on the wire. */
  models: string[]
  /** Set when the gateway or the provider ended it. */
  verdict: 'over-budget' | 'rate-limited' | 'refused' | 'unreachable' | null
  reason: string | null
}

export type Gateway = {
  /** Loopback URL for the group rung: `http://127.0.0.1:PORT`. */
  url: string
  /** Opens one socket for an attempt (0600); `grant` must be written already. */
  open(key: string, grant: Grant): Promise<{ socket: string }>
  /** Ends a key at once: requests in flight are cut, later ones denied. Safe to call twice. */
  revoke(attempt: string): Promise<void>
  report(attempt: string): WireReport
  /** Called on every byte that moves for an attempt: the wire's part of its activity. `waiting` while a request is held back. */
  onActivity(listener: (attempt: string, kind: 'bytes' | 'waiting') => void): () => void
  [Symbol.asyncDispose](): Promise<void>
}
