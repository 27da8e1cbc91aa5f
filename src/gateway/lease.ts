/**
 * The money of one request while it is in flight.
 *
 *     held ──first usage──▶ input charged ──used > 85 %──▶ extended by quanta … ──▶ settled once, by usage or by estimate
 *                                                              └─refused─▶ the exchange cuts
 *
 * What was used is the larger of what is seen and what is reported; time without a visible word counts as reasoning at full speed.
 */
import type { Lane } from '../core/lane.ts'
import { heldTokens, lagTokens, nextLease } from '../core/budget.ts'
import { addTokens, costOf, findPrice, noTokens, ratesFor, totalInput, type Tokens } from '../core/price.ts'
import { feeOf } from '../core/provider-tool.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { Tx } from '../store/database.ts'
import { chargeInput, extendHold, settleHold } from '../store/ledger.ts'
import { watchSpending } from '../store/pace.ts'
import type { HeldRequest } from './admit.ts'
import type { Meter } from './meter.ts'
import { outputOf, tokensOf, type Reported } from './usage.ts'
import type { Wiring } from './wiring.ts'

export type Settled = {
  tokens: Tokens
  nanoUsd: number
  how: 'exact' | 'estimated' | 'free'
  /** What the provider did by itself, and what of `nanoUsd` is for that. */
  tools: { tool: string; uses: number; nanoUsd: number }[]
}

export type Lease = {
  /** Tells that bytes came; charges the input once the provider has said what it was. Null: there is nothing to charge. */
  heard(): Promise<void> | null
  /** True while what was used is covered; extends in time. A refusal when it is not and no more can be had. */
  cover(): true | Promise<true | Refusal>
  /** Output tokens thought made by now. */
  used(): number
  /** Input tokens as reported, or their bound. */
  input(): number
  heldNanoUsd(): number
  /** Settles by what is known: exactly when the provider's last word was heard, else by estimate; `free` when it bills nothing. */
  settle(how: 'known' | 'free'): Promise<Settled>
}

/** Silence shorter than this is the gap between two words. */
const wordGapMs = 1000

/** `bytesPerToken`: visible bytes of a token, as this attempt's answers had them. */
export function openLease(
  wiring: Wiring,
  hold: HeldRequest,
  { lane, bytesPerToken }: { lane: Lane; bytesPerToken: number },
  meter: () => Meter | null,
): Lease {
  const { world, limits } = wiring
  const outputCost = (tokens: number): number => Math.ceil((tokens * hold.outputRate) / 1e6)
  let { lease, held, whole } = hold
  let inputNanoUsd = hold.inputNanoUsd
  let refused: Refusal | null = null
  let growing: Promise<true | Refusal> | null = null
  const used = usedTokens(wiring, hold, bytesPerToken, meter)

  const sizeFor = (goal: number) => {
    const next = heldTokens(goal, hold.cap, limits)
    return { goal, nanoUsd: outputCost(next) - outputCost(held), outputTokens: next }
  }
  /** By as much as is wanted, or by a part of it. */
  const grow = async (to: number): Promise<true | Refusal> => {
    const part = (share: number) => sizeFor(lease + Math.ceil((to - lease) / share))
    const sizes = [part(1), part(4), part(16)] as const
    const extended = await wiring.write((tx) => extendHold(tx, hold.id, sizes, { lane, at: world.clock.now() }))
    if (isRefusal(extended)) {
      if ('scope' in extended && extended.scope === 'minute') wiring.tripped(extended.why)
      return (refused = extended)
    }
    held = extended.outputTokens
    lease = extended.goal
    whole = held === hold.cap
    refused = null
    return true
  }
  /** What was spent may trip the breaker, and whoever waits may find room now. */
  const move = async (body: (tx: Tx) => Promise<unknown>): Promise<void> => {
    const tripped = await wiring.write(async (tx) => {
      await body(tx)
      return watchSpending(tx, world.clock.now())
    })
    if (tripped !== null) wiring.tripped(`the breaker has tripped: ${tripped}`)
    wiring.turnstile.look()
  }
  const growOnce = (to: number): Promise<true | Refusal> => (growing ??= grow(to).finally(() => (growing = null)))
  const cover = (): true | Promise<true | Refusal> => {
    if (whole) return true
    const now = used.look()
    const wanted = nextLease(now, lease, limits)
    if (wanted === lease) return true
    if (now >= lease) return growOnce(wanted).then((answer) => (isRefusal(answer) ? answer : cover()))
    if (!refused) growOnce(wanted).catch(() => {}) // ahead of need; a ledger that fails is heard of when it is needed
    return true
  }

  return {
    heard() {
      used.look()
      const reported = meter()?.reported
      if (inputNanoUsd === 0 || !reported?.input || hold.passed.length > 0) return null // what a provider reads by itself comes on top until the end
      const tokens = { ...tokensOf(reported), output: 0, webSearches: 0 }
      inputNanoUsd = 0
      const at = world.clock.now()
      return move((tx) => chargeInput(tx, hold.id, costOf(ratesOf(hold, tokens), tokens), tokens, at))
    },
    cover,
    used: used.look,
    input: () => (inputNanoUsd === 0 ? totalInput(tokensOf(meter()!.reported)) : hold.inputTokens),
    heldNanoUsd: () => inputNanoUsd + outputCost(held),
    async settle(how) {
      const bill =
        how === 'free' ? { tokens: noTokens, nanoUsd: 0, how, tools: [] } : billOf(wiring, hold, meter(), used.look())
      await move((tx) => settleHold(tx, hold.id, { ...bill, at: world.clock.now() }))
      return bill
    },
  }
}

const ratesOf = (hold: HeldRequest, tokens: Tokens) => ratesFor(hold.price, hold.day, totalInput(tokens))

/** Exact where the provider said its last word; else input as reported or its whole hold, and output as estimated with the lag on top. */
function billOf(wiring: Wiring, hold: HeldRequest, meter: Meter | null, used: number): Settled {
  const reported = meter?.reported
  const isLast = reported?.final === true && reported.input
  const tools = usesOf(hold, reported, isLast)
  const fee = tools.reduce((sum, { nanoUsd }) => sum + nanoUsd, 0)
  const own = reported ? { ...tokensOf(reported), ...(hold.passed.length > 0 ? { webSearches: 0 } : {}) } : noTokens
  const extras = reported?.extras ?? []
  const extraNanoUsd = extras.reduce((sum, { model, tokens }) => sum + extraCost(wiring, hold, model, tokens), 0)
  const all = extras.map(({ tokens }) => tokens).reduce(addTokens, own)
  if (isLast) return { tokens: all, nanoUsd: costOf(ratesOf(hold, own), own) + extraNanoUsd + fee, how: 'exact', tools }
  const made = hold.billsAfterAbort && hold.cap !== null ? hold.cap : used + lagTokens(wiring.limits)
  const output = Math.max(own.output, Math.min(made, hold.cap ?? Infinity))
  if (!reported?.input || hold.passed.length > 0) {
    const tokens = { ...noTokens, input: hold.inputTokens, output }
    const outputNanoUsd = Math.ceil((output * hold.outputRate) / 1e6)
    const read = Math.max(hold.inputNanoUsd - feeOf(hold.passed), costOf(ratesOf(hold, own), { ...own, output: 0 })) // their fees are held with the input
    return { tokens, nanoUsd: read + outputNanoUsd + fee, how: 'estimated', tools }
  }
  const nanoUsd = costOf(ratesOf(hold, own), { ...own, output }) + extraNanoUsd
  return { tokens: { ...all, output: all.output - own.output + output }, nanoUsd, how: 'estimated', tools }
}

/** What the provider did by itself: as seen and reported, and before its last word at least as often as was held for. */
function usesOf({ passed }: HeldRequest, reported: Reported | undefined, isLast: boolean): Settled['tools'] {
  const kinds = [...new Set(passed.map(({ tool }) => tool))]
  return kinds.flatMap((tool) => {
    const own = passed.filter((each) => each.tool === tool)
    const held = isLast && !reported?.doubtful ? 0 : own.reduce((sum, { uses }) => sum + uses, 0)
    const uses = Math.max(held, reported?.uses.get(tool) ?? 0)
    return uses === 0 ? [] : [{ tool, uses, nanoUsd: uses * own[0]!.useNanoUsd }]
  })
}

/** A pass by another model inside the request bills at that model's price; without one, at this request's. */
function extraCost(wiring: Wiring, hold: HeldRequest, model: string | null, tokens: Tokens): number {
  const price = model === null ? hold.price : findPrice(wiring.prices, model)
  return costOf(ratesFor(isRefusal(price) ? hold.price : price, hold.day, totalInput(tokens)), tokens)
}

function usedTokens(
  wiring: Wiring,
  hold: HeldRequest,
  bytesPerToken: number,
  meter: () => Meter | null,
): { look(): number } {
  const { world, limits } = wiring
  let seenBytes = 0
  let seenAt = world.clock.mono()
  let begun = hold.whole // in a stream nothing is decoded before the answer's head; an answer in one piece shows its head last
  let unseen = 0
  const silence = (now: number): number => (now - seenAt > wordGapMs ? ((now - seenAt) / 1000) * limits.decodeRate : 0)
  return {
    look() {
      const now = world.clock.mono()
      if (!begun) seenAt = now
      begun ||= meter() !== null
      const bytes = meter()?.visibleBytes() ?? 0
      if (bytes > seenBytes) {
        unseen += silence(now)
        seenBytes = bytes
        seenAt = now
      }
      const reported = meter()?.reported
      const output = reported ? outputOf(reported) : 0
      if (reported?.final) return output
      const estimate = Math.ceil(bytes / bytesPerToken + unseen + silence(now))
      return Math.min(Math.max(estimate, output), hold.cap ?? Infinity)
    },
  }
}
