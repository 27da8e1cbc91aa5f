/**
 * A request in flight: what is known of it, and its money until it is settled. Whatever ends it, it is settled once.
 *
 *     watched every tick ─▶ covered? ─no more can be had─▶ cut: settle, abort, end well-formed, in this order
 */
import type { ClientRequest, ServerResponse } from 'node:http'
import { totalInput } from '../core/price.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { Admission } from './admit.ts'
import { answerOf, send } from './answer.ts'
import { endingOf } from './ending.ts'
import type { Lease } from './lease.ts'
import { countRequest, judge, noteDensity, remember, type AbortReason, type Live } from './live.ts'
import type { Meter } from './meter.ts'
import type { Route } from './route.ts'
import { tokensOf } from './usage.ts'
import type { Wiring } from './wiring.ts'

export type Visit = { wiring: Wiring; live: Live; route: Route; key: string }

export type Flight = Visit & {
  client: ServerResponse
  realKey: string
  keyHeader: 'api-key' | null
  admission: Admission | null
  raw: Buffer
  /** Of the client's body, as far as it was read. */
  bodyBytes: number
  request: ClientRequest | null
  meter: Meter | null
  /** The answer is an event stream. */
  streams: boolean
  lease: Lease | null
  /** The key before a rotation is used: the provider does not know the new one. */
  usesBefore: boolean
  /** How often it was asked again because the provider had said later. */
  times: number
  /** Fires when it is ended before its time. */
  over: AbortSignal
  /** Why it was ended before its time. */
  ended: AbortReason | 'cut' | null
  /** Settles when a cut is through. */
  cutting: Promise<void> | null
  /** Monotonic milliseconds of the last byte. */
  movedAt: number
}

export function abort(state: Flight, why: AbortReason): void {
  if (state.ended) return
  state.ended = why
  if (why === 'idle') judge(state.live, 'unreachable', 'the provider said nothing for too long')
  state.request?.destroy() // without an error: once it is answered nobody would hear that
  state.wiring.turnstile.look() // it may be waiting there, or there
  state.wiring.coolDowns.look()
  if (why !== 'client-gone') state.client.destroy()
}

export function reachBudget({ wiring, live }: Flight, refusal: Refusal, cut: boolean): void {
  const { attempt, task, scope: own } = live.grant
  const { why } = refusal
  const scope = 'scope' in refusal ? String(refusal.scope) : own
  judge(live, 'over-budget', why, scope)
  wiring.emit({ type: 'budget.reached', attempt, task, why, scope, cut })
}

/** Looks at the exchange every tick: silence may be reasoning that costs, or a provider that has died. */
export function watch(state: Flight): () => void {
  const { world, timeouts } = state.wiring
  let cancel = (): void => {}
  const tick = (): void => {
    cancel = world.timer.after(timeouts.tickMs, tick)
    if (world.clock.mono() - state.movedAt > timeouts.idleMs) return abort(state, 'idle')
    state.wiring.moved(state.live.grant.attempt, 'waiting') // a model that thinks says nothing
    if (state.meter) keepCovered(state)?.catch(() => abort(state, 'ledger-failed'))
  }
  cancel = world.timer.after(timeouts.tickMs, tick)
  return () => cancel()
}

export function move(state: Flight): void {
  state.movedAt = state.wiring.world.clock.mono()
  state.wiring.moved(state.live.grant.attempt, 'bytes')
}

/** Extends the lease in time; where no more can be had and it is used up, cuts. Null: covered. */
export function keepCovered(state: Flight): Promise<void> | null {
  const { lease } = state
  if (!lease || state.ended) return null
  const covered = lease.cover()
  return covered === true ? null : covered.then((answer) => cutUnless(state, lease, answer))
}

async function cutUnless(state: Flight, lease: Lease, covered: true | Refusal): Promise<void> {
  if (!isRefusal(covered) || state.ended || state.lease !== lease) return
  state.ended = 'cut'
  state.cutting = cut(state, lease, covered)
  await state.cutting
}

/** Settle, abort, end well-formed, in this order. */
async function cut(state: Flight, lease: Lease, refusal: Refusal): Promise<void> {
  const { meter, client, route } = state
  const usage = { input: lease.input(), output: lease.used() }
  const includeUsage = state.admission?.asked.includeUsage ?? false
  await settle(state, 'known')
  state.request?.destroy()
  reachBudget(state, refusal, true)
  if (!meter) return send(client, answerOf(route.dialect, 'over-budget', refusal.why))
  if (!state.streams) return void client.destroy()
  client.end(endingOf(route.dialect, meter.sketch, usage, { includeUsage }))
}

export async function settle(state: Flight, how: 'known' | 'free'): Promise<void> {
  const { wiring, live, admission, lease } = state
  if (!lease || !admission) return
  const { model } = admission.asked
  state.lease = null // whoever comes second finds nothing left to settle
  const bill = await lease.settle(how).catch((error: unknown) => {
    state.lease = lease
    throw error
  })
  countRequest(live, model, bill)
  if (bill.how === 'exact' && state.meter) {
    const own = tokensOf(state.meter.reported)
    noteDensity(live, model, state.meter.visibleBytes(), own.output)
    remember(live, { model, terms: admission.asked.terms, body: state.raw, tokens: totalInput(own) + own.output })
  }
  wiring.emit({ type: 'request.settled', attempt: live.grant.attempt, model, nanoUsd: bill.nanoUsd, how: bill.how })
}
