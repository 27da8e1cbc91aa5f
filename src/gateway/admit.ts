/**
 * Admission: from a request's body to a hold in the ledger, or to the reason why not. When this says yes, the worst that the request can cost until
 * the next look at it is held on every account it draws on.
 */
import { heldTokens, scopePath, type Limits } from '../core/budget.ts'
import { dayOf } from '../core/day.ts'
import { familyOf } from '../core/family.ts'
import { ratesFor, tokensFor, trustPrice, type FlatRates, type ModelPrice } from '../core/price.ts'
import { addedTokens, feeOf, type PassedTool } from '../core/provider-tool.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { placeHold, type OverBudget } from '../store/ledger.ts'
import { quirks } from './answer.ts'
import { tellShut, type Leave } from './cool-downs.ts'
import type { Count } from './count.ts'
import { boundCounted, boundInput, widestContext } from './estimate.ts'
import type { Upstream } from './gateway.ts'
import type { Live } from './live.ts'
import { priceTools } from './provider-tool.ts'
import { readRequest, type Asked } from './request.ts'
import type { Route } from './route.ts'
import type { Waiter } from './turnstile.ts'
import type { Wiring } from './wiring.ts'

export type Admission = {
  /** Without what could make its body again, which keeps all of the request for as long as its answer takes. */
  asked: Omit<Asked, 'body'>
  upstream: Upstream
  /** What leaves. */
  body: Buffer
  hold: HeldRequest | null
  /** Its place in what the provider's limits let through; null: it takes none. */
  leave: Leave | null
}

export type HeldRequest = {
  id: number
  price: ModelPrice
  day: string
  inputNanoUsd: number
  inputTokens: number
  outputRate: number
  /** Output tokens leased, without the margin. */
  lease: number
  /** Output tokens held, the margin included. */
  held: number
  /** The output cap the provider was told; null: none. */
  cap: number | null
  /** Nothing the provider can make exceeds the hold. */
  whole: boolean
  billsAfterAbort: boolean
  /** What the provider may do by itself; its fees, and what it may add to the input, are held with the input. */
  passed: readonly PassedTool[]
}

/** Steps that judge what they are shown, and nothing else. */
const judges = ['review', 'crosscheck']

/** Reads, checks, prices and holds. Refuses with what the client and the log are to be told; `over-budget` is the only one about money. */
export async function admit(
  wiring: Wiring,
  live: Live,
  route: Route,
  raw: Buffer,
  waiter: Waiter,
  counter: (asked: Asked, upstream: Upstream) => Count,
): Promise<Admission | Refusal | OverBudget> {
  const upstream = wiring.upstreams.find(({ family }) => family === live.grant.family)
  if (!upstream || upstream.key() === '')
    return refuse('no-upstream', `there is no credential for ${live.grant.family}`)
  const named = judges.includes(live.grant.stage) ? {} : upstream.tools
  const asked = readRequest(route, raw, named, upstream.family)
  if (isRefusal(asked)) return asked
  const stranger = checkModel(wiring, live, asked.model)
  if (stranger) return stranger
  if (route.kind === 'count')
    return { asked: shapeOf(asked), upstream, body: asked.body(null), hold: null, leave: null }
  const price = trustPrice(wiring.prices, asked.model, dayOf(wiring.world.clock.now()))
  if (isRefusal(price)) return { ...price, why: `${price.why}; ${price.hint}` }
  const rates = ratesFor(price, dayOf(wiring.world.clock.now()), 0)
  const passed = priceTools(asked, upstream, rates)
  if (isRefusal(passed)) return { ...passed, why: `${passed.why}; ${passed.hint}` }
  const { family } = upstream
  const departing = { family, model: asked.model, key: upstream.key(), bytes: raw.length, cap: asked.cap }
  const leave = await wiring.coolDowns.pass(departing, waiter)
  if ('shut' in leave) return waiter.gone() ? nobodyWaits : tellShut(departing, leave)
  const count = counter(asked, upstream)
  const hold = await place(wiring, live, { asked, upstream, price, passed, raw, waiter, count }).catch(
    (error: unknown) => {
      leave.over()
      throw error
    },
  )
  if (isRefusal(hold)) {
    leave.over()
    return hold
  }
  const { told, ...held } = hold
  return { asked: shapeOf(asked), upstream, body: asked.body(told), hold: held, leave }
}

const shapeOf = ({ body: _, ...shape }: Asked): Omit<Asked, 'body'> => shape

const nobodyWaits = refuse('client-gone', 'nobody waits for it')

/** How this request waits: urgent work first, in all no longer than its client does, and its attempt is not silent meanwhile. */
export function waiterOf(
  { moved, world, timeouts }: Wiring,
  live: Live,
  { dialect }: Route,
  gone: () => boolean,
): Waiter {
  const { attempt, lane } = live.grant
  const began = world.clock.mono()
  let since = began
  return {
    lane,
    patienceMs: () => Math.max(0, (timeouts.patienceMs ?? quirks[dialect].patienceMs) - (world.clock.mono() - began)),
    gone,
    waiting() {
      const now = world.clock.mono()
      live.report.waitedMs += now - since
      since = now
      moved(attempt, 'waiting')
    },
  }
}

function checkModel(wiring: Wiring, live: Live, model: string): Refusal | null {
  const { report, grant } = live
  const family = familyOf(model, wiring.families)
  if (family !== grant.family) {
    const why = `this key is for models of ${grant.family}, and ${model} is ${family === null ? 'of no known family' : `of ${family}`}`
    if (family !== null) report.voided ??= why
    return refuse('other-family', why)
  }
  if (report.voided !== null) return refuse('attempt-void', `nothing of this attempt counts any more: ${report.voided}`)
  if (!live.grant.models.includes(model))
    return refuse('model-denied', `this key is for ${live.grant.models.join(', ')}, not for ${model}`)
  return null
}

type Question = {
  asked: Asked
  upstream: Upstream
  price: ModelPrice
  passed: readonly PassedTool[]
  raw: Buffer
  waiter: Waiter
  count: Count
}

/** A text so long, and a wait so long, are worth a question. */
const worthCountingBytes = 16 * 1024
const worthCountingMs = 5000

async function place(
  wiring: Wiring,
  live: Live,
  { asked, upstream, price, passed, raw, waiter, count }: Question,
): Promise<(HeldRequest & { told: number | null }) | Refusal | OverBudget> {
  const { limits, world, turnstile } = wiring
  const day = dayOf(world.clock.now())
  const billsAfterAbort = upstream.billsAfterAbort ?? !['anthropic', 'openai'].includes(upstream.family)
  const size = sizeOf(asked, limits, billsAfterAbort)
  const byBytes = boundInput({ ...asked, raw, context: price.context }, live.anchors)
  const bounded = (tokens: number) => inputOf({ price, day, passed, hour: asked.cachesHour }, tokens)
  let input = bounded(byBytes)
  const hold = () =>
    wiring.write((tx) =>
      placeHold(tx, {
        keyHash: live.keyHash,
        grant: live.grant,
        model: asked.model,
        path: scopePath(live.grant, limits, day),
        inputNanoUsd: input.nanoUsd,
        inputTokens: input.tokens,
        outputRate: input.rates.output,
        leastTokens: size.least,
        mostTokens: size.most,
        at: world.clock.now(),
        day,
      }),
    )
  const placed = await turnstile.pass(waiter, async () => {
    const first = await hold()
    if (!isWorthCounting(first, byBytes)) return first
    if (count.isUnderWay(turnstile.look))
      return isRefusal(first) ? { waits: 'count', ms: Infinity, refusal: first } : first
    const counted = Math.min(byBytes, boundCounted(count.tokens() ?? Infinity))
    if (counted === byBytes) return first
    input = bounded(counted)
    return hold()
  })
  if ('waits' in placed) return 'refusal' in placed ? placed.refusal : nobodyWaits
  if (isRefusal(placed)) return placed
  const { tokens: inputTokens, nanoUsd: inputNanoUsd, rates } = input
  const told = size.whole ? placed.tokens : affordable(asked, placed.lifetime, rates.output, size.most)
  const cap = told ?? asked.cap
  return {
    id: placed.hold,
    price,
    day,
    inputNanoUsd,
    inputTokens,
    outputRate: rates.output,
    billsAfterAbort: billsAfterAbort || !asked.stream, // nobody promises to stop an answer in one piece
    told,
    cap,
    lease: size.whole ? placed.tokens : limits.quantumTokens,
    held: placed.tokens,
    whole: size.whole || placed.tokens === cap,
    passed,
  }
}

/** It does not fit, or not for long, by its bytes alone. */
const isWorthCounting = (placed: Awaited<ReturnType<typeof placeHold>>, boundTokens: number): boolean =>
  boundTokens > worthCountingBytes &&
  ('waits' in placed
    ? placed.waits === 'pace' && placed.ms > worthCountingMs
    : isRefusal(placed) && placed.refused === 'over-budget')

type Terms = { price: ModelPrice; day: string; passed: readonly PassedTool[]; hour: boolean }

function inputOf({ price, day, passed, hour }: Terms, asked: number) {
  const tokens = asked + addedTokens(passed, asked, price.context ?? widestContext)
  const rates = ratesFor(price, day, tokens)
  return { tokens, rates, nanoUsd: Math.ceil((tokens * dearestInput(rates, hour)) / 1e6) + feeOf(passed) }
}

/**
 * How much output to hold at first. A stream that stops when we hang up: a quantum and the margin. One that would go on billing, or an answer that
 * comes in one piece and cannot be cut: all of it, clamped to what fits.
 */
function sizeOf(
  asked: Asked,
  limits: Limits,
  billsAfterAbort: boolean,
): { least: number; most: number; whole: boolean } {
  if (asked.stream && !billsAfterAbort) {
    const first = heldTokens(limits.quantumTokens, asked.cap, limits)
    return { least: first, most: first, whole: false }
  }
  const most = asked.cap ?? limits.outputCapTokens
  return { least: Math.min(most, Math.max(limits.leastOutputTokens, asked.leastCap)), most, whole: true }
}

/** A lower cap where the rest of the budget, holds of others not counted, can never pay for what the client asked; null: leave it. */
function affordable(asked: Asked, lifetime: number, rate: number, first: number): number | null {
  if (asked.cap === null || lifetime === Infinity) return null
  const fit = tokensFor(lifetime, rate)
  return fit < asked.cap && fit >= Math.max(asked.leastCap, first) ? fit : null
}

/** What an input token can cost at most: caches are written where the client, or the provider by itself, thinks fit. */
const dearestInput = (rates: FlatRates, hour: boolean): number =>
  Math.max(rates.input, rates.cachedInput, rates.cacheWrite, hour ? rates.cacheWriteHour : 0)
