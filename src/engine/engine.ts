/**
 * The port of the engine: how admitted attempts reach workers. It only ever holds work that admission has already let in, so it needs no
 * priorities, rates or pauses of its own. On one machine it is `embedded`; on several another engine stands behind the same port.
 *
 *     offer (in the admission's transaction) ──▶ claim ──▶ beat … beat ──▶ finish (in the result's transaction)
 *                                                            └── no beat for a lease ──▶ lost, taken back by the rescuer
 *
 * Contract: an attempt is handed out at least once; what it *writes* counts at most once, because every write asks `holds` or `finish` first.
 */
import type { Outcome } from '../core/outcome.ts'
import type { Tx } from '../store/database.ts'
import type { Lease } from '../store/lease.ts'

export type Carried = Lease & {
  /** Fires when the attempt must end; its reason is the Outcome word. */
  signal: AbortSignal
  /** Tells the engine the holder is alive; `active` when the work itself moved. False: the lease is lost, stop at once. */
  beat(active: boolean): Promise<boolean>
}

export type Engine = {
  offer(tx: Tx, attempt: { attempt: string; task: string; token: number }): Promise<void>
  /** Best effort: ends a carried attempt here. The fence is the truth. */
  revoke(attempt: string, why: Outcome): void
  /** Hands each offered attempt to `carry`, which must not reject. Stops handing out when disposed, and waits for those under way. */
  work(carry: (carried: Carried) => Promise<void>): AsyncDisposable
  /** True when this holder's writes still count. */
  holds(tx: Tx, lease: Lease): Promise<boolean>
  /** As `holds`, and gives the lease back. */
  finish(tx: Tx, lease: Lease): Promise<boolean>
  /** Attempts carried here now. */
  carrying(): string[]
}
