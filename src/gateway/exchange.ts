/**
 * One request from its first byte to its settled charge.
 *
 *     read ─▶ admit ─▶ ask ─▶ pass on, meter, keep covered ─▶ settle ─▶ end
 *       └no─▶ answer    │         ├─ budget reached: settle, abort, end the stream well-formed
 *                       │         ├─ client gone, revoked, idle: abort, settle by estimate
 *                       └─ no provider: settle, answer so that the client stops or waits
 *
 * The order matters where money is: settled before aborted, settled before the client is told that it is over.
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { totalInput } from '../core/price.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { reasonOf } from '../core/vendor-refusal.ts'
import { admit, type Admission } from './admit.ts'
import { answerOf, send, wrongKeyStatus, type AnswerKind } from './answer.ts'
import { readBody } from './body.ts'
import { endingOf } from './ending.ts'
import { maskStream, requestHeaders, responseHeaders } from './header.ts'
import { openLease, type Lease } from './lease.ts'
import { countRequest, judge, remember, type AbortReason, type Live } from './live.ts'
import { meterBody, meterStream, type Meter } from './meter.ts'
import { upstreamUrl, type Route } from './route.ts'
import { ask, type Outgoing } from './upstream.ts'
import { tokensOf } from './usage.ts'
import type { Wiring } from './wiring.ts'

export type Visit = { wiring: Wiring; live: Live; route: Route; key: string }

type State = Visit & {
  client: ServerResponse
  realKey: string
  keyHeader: 'api-key' | null
  admission: Admission | null
  raw: Buffer
  request: ClientRequest | null
  meter: Meter | null
  /** The answer is an event stream. */
  streams: boolean
  lease: Lease | null
  /** Why it was ended before its time. */
  ended: AbortReason | 'cut' | null
  /** Settles when a cut is through. */
  cutting: Promise<void> | null
  /** Monotonic milliseconds of the last byte. */
  movedAt: number
}

/** Carries one request through. Rejects only on a fault of the ledger. */
export async function exchange(visit: Visit, request: IncomingMessage, client: ServerResponse): Promise<void> {
  const { wiring, live } = visit
  const state: State = {
    ...visit,
    client,
    realKey: '',
    keyHeader: null,
    admission: null,
    raw: Buffer.alloc(0),
    request: null,
    meter: null,
    streams: false,
    lease: null,
    ended: null,
    cutting: null,
    movedAt: wiring.world.clock.mono(),
  }
  const over = Promise.withResolvers<void>()
  const flight = {
    abort: (why: AbortReason) => abort(state, why),
    done: over.promise,
    heldNanoUsd: () => state.lease?.heldNanoUsd() ?? 0,
  }
  live.exchanges.add(flight)
  client.on('close', () => {
    if (!client.writableFinished) abort(state, 'client-gone')
  })
  try {
    await carry(state, request)
  } finally {
    live.exchanges.delete(flight)
    over.resolve()
  }
}

function abort(state: State, why: AbortReason): void {
  if (state.ended) return
  state.ended = why
  state.request?.destroy() // without an error: once it is answered nobody would hear that
  state.wiring.turnstile.look() // it may be waiting there
  if (why !== 'client-gone') state.client.destroy()
}

async function carry(state: State, request: IncomingMessage): Promise<void> {
  const { wiring, live, route } = state
  const raw = await readBody(request).catch(() => null)
  if (raw === null) return // the client went away before it had asked anything
  if (isRefusal(raw)) return deny(state, raw.refused === 'body-too-large' ? 'too-large' : 'unfit', raw, null)
  state.raw = raw
  const outgoing = route.kind === 'models' ? free(state) : await admitted(state)
  if (!outgoing) return
  if (state.admission?.hold) state.lease = openLease(wiring, state.admission.hold, live.grant.lane, () => state.meter)
  if (state.ended) return settle(state, 'free') // gone or revoked while the hold was written: nothing has left
  const stop = watch(state)
  try {
    await forward(state, { method: request.method ?? 'GET', headers: request.headers, ...outgoing })
  } finally {
    stop()
    wiring.moved(live.grant.attempt, 'bytes')
  }
}

type Leaving = { url: URL; body: Buffer }

function free(state: State): Leaving | null {
  const { family } = state.live.grant
  const upstream = state.wiring.upstreams.find((each) => each.family === family)
  if (!upstream) {
    deny(state, 'denied', refuse('no-upstream', `there is no credential for ${family}`), null)
    return null
  }
  state.realKey = upstream.key()
  state.keyHeader = upstream.keyHeader ?? null
  return { url: upstreamUrl(upstream.baseUrl, state.route.path, upstream.apiVersion), body: Buffer.alloc(0) }
}

async function admitted(state: State): Promise<Leaving | null> {
  const { wiring, live, route } = state
  const admission = await admit(wiring, live, route, state.raw, () => state.ended !== null || live.revoked)
  if (isRefusal(admission)) {
    const { refused } = admission
    const kind: AnswerKind =
      refused === 'over-budget'
        ? 'over-budget'
        : ['body-unfit', 'field-denied', 'price-unknown'].includes(refused)
          ? 'unfit'
          : 'denied'
    if (refused === 'client-gone') return null
    if (refused === 'over-budget') reachBudget(state, admission, false)
    deny(state, kind, admission, route.model)
    return null
  }
  const { asked, upstream, body } = admission
  if (asked.stripped.length > 0)
    wiring.emit({ type: 'tools.stripped', attempt: live.grant.attempt, tools: asked.stripped })
  state.admission = admission
  state.realKey = upstream.key()
  state.keyHeader = upstream.keyHeader ?? null
  return { url: upstreamUrl(upstream.baseUrl, route.path, upstream.apiVersion), body }
}

function deny(state: State, kind: AnswerKind, { refused, why }: Refusal, model: string | null): void {
  const { wiring, live, route, client } = state
  if (refused !== 'over-budget') {
    judge(live, 'refused', why)
    wiring.emit({ type: 'request.denied', attempt: live.grant.attempt, refused, why, model })
  }
  send(client, answerOf(route.dialect, kind, why))
}

function reachBudget({ wiring, live }: State, refusal: Refusal, cut: boolean): void {
  const { attempt, task, scope: own } = live.grant
  const { why } = refusal
  const scope = 'scope' in refusal ? String(refusal.scope) : own
  judge(live, 'over-budget', why, scope)
  wiring.emit({ type: 'budget.reached', attempt, task, why, scope, cut })
}

/** Looks at the exchange every tick: silence may be reasoning that costs, or a provider that has died. */
function watch(state: State): () => void {
  const { world, timeouts } = state.wiring
  let cancel = (): void => {}
  const tick = (): void => {
    cancel = world.timer.after(timeouts.tickMs, tick)
    if (world.clock.mono() - state.movedAt > timeouts.idleMs) return abort(state, 'idle')
    if (state.meter) void keepCovered(state).catch(() => abort(state, 'ledger-failed'))
  }
  cancel = world.timer.after(timeouts.tickMs, tick)
  return () => cancel()
}

async function forward(
  state: State,
  asked: Leaving & { method: string; headers: IncomingMessage['headers'] },
): Promise<void> {
  const { wiring, route, key, realKey, keyHeader } = state
  const headers = requestHeaders(asked.headers, {
    dialect: route.dialect,
    virtualKey: key,
    realKey,
    keyHeader,
    bytes: asked.body.length,
    context: state.admission?.hold?.price.context ?? null,
  })
  const outgoing: Outgoing = { method: asked.method, url: asked.url, headers, body: asked.body }
  const reply = await ask(wiring, outgoing, (request) => (state.request = request))
  if ('error' in reply) return unanswered(state, reply.error, reply.sent)
  const { response } = reply
  const status = response.statusCode ?? 502
  if (status >= 300 && status < 400) {
    response.destroy()
    return unanswered(state, new Error(`answered with a redirect (${status})`), false)
  }
  if (status >= 400) return passRefusal(state, response, status)
  await passAnswer(state, response)
}

async function unanswered(state: State, error: Error, sent: boolean): Promise<void> {
  const { live, route, client } = state
  await settle(state, sent ? 'known' : 'free')
  if (state.ended) return void client.destroy()
  const { code: named, statusCode } = error as NodeJS.ErrnoException & { statusCode?: number } // the status: of a proxy that opened no tunnel
  const code = [named ?? error.message, statusCode].filter((each) => each !== undefined).join(' ')
  judge(live, 'unreachable', `the provider could not be reached: ${code}`)
  send(client, answerOf(route.dialect, 'unreachable', `the provider could not be reached: ${code}`))
}

/**
 * A provider's no goes through as it is, because clients match its wording; only a key it does not know gets the status that makes the client stop.
 * A gateway time-out may hide work that was done and is billed.
 */
async function passRefusal(state: State, response: IncomingMessage, status: number): Promise<void> {
  const { live, client, realKey } = state
  const verdict = status === 429 ? 'rate-limited' : status >= 500 ? 'unreachable' : 'refused'
  const masker = maskStream(realKey)
  const body = await collect(state, response)
  const { family } = live.grant
  judge(live, verdict, reasonOf({ family, status, text: body?.toString('utf8') ?? '' }))
  await settle(state, status === 504 || status === 524 ? 'known' : 'free')
  if (!body || state.ended) return void client.destroy()
  const { 'content-length': _, ...headers } = responseHeaders(response.headers, realKey)
  client.writeHead(status === 401 ? wrongKeyStatus(state.route.dialect) : status, headers)
  client.end(Buffer.concat([masker.push(body), masker.flush()]))
}

/** No provider has more to say about a refusal. */
const longestRefusal = 1024 * 1024

async function collect(state: State, response: IncomingMessage): Promise<Buffer | null> {
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      move(state)
      bytes += chunk.length
      if (bytes <= longestRefusal) parts.push(chunk)
    }
    return Buffer.concat(parts)
  } catch {
    return null // reset or aborted: the caller drops the connection as the provider did
  }
}

function move(state: State): void {
  state.movedAt = state.wiring.world.clock.mono()
  state.wiring.moved(state.live.grant.attempt, 'bytes')
}

async function passAnswer(state: State, response: IncomingMessage): Promise<void> {
  const { route, client, realKey } = state
  const streams = /^text\/event-stream/i.test(response.headers['content-type'] ?? '')
  state.streams = streams
  const hideUsage = route.dialect === 'openai-chat' && streams && state.admission?.asked.includeUsage === false
  const meter = streams ? meterStream(route.dialect, { hideUsage }) : meterBody(route.dialect)
  state.meter = meter
  const headers = responseHeaders(response.headers, realKey)
  if (streams) delete headers['content-length']
  client.writeHead(response.statusCode ?? 200, headers)
  client.flushHeaders()
  const masker = maskStream(realKey)
  const whole = await pump(state, response, (chunk) => meter.push(masker.push(chunk)))
  if (state.ended === 'cut') return void (await state.cutting)
  const rest = whole ? Buffer.concat([meter.push(masker.flush()), meter.end()]) : null
  await settle(state, 'known')
  if (!rest) {
    if (!state.ended) judge(state.live, 'unreachable', 'the provider broke off in the middle of its answer')
    return void client.destroy()
  }
  const failure = meter.failure()
  if (state.admission?.hold) judge(state.live, failure === null ? null : verdictOf(failure), failure)
  client.end(rest)
}

const verdictOf = (failure: string): 'rate-limited' | 'unreachable' | 'refused' =>
  /rate.?limit|quota|exhausted/i.test(failure)
    ? 'rate-limited'
    : /overloaded|server|unavailable|api_error/i.test(failure)
      ? 'unreachable'
      : 'refused'

/** Passes bytes on, waiting for a slow client and for money. False when the answer broke off; rejects when the ledger does. */
async function pump(state: State, response: IncomingMessage, take: (chunk: Buffer) => Buffer): Promise<boolean> {
  const { client } = state
  let fault: unknown = null
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      move(state)
      const bytes = take(chunk)
      await keepBooks(state).catch((error: unknown) => {
        fault = error
        throw error
      })
      if (state.ended) return false
      if (bytes.length > 0 && !client.write(bytes)) await drained(client)
    }
    return state.ended === null
  } catch {
    if (fault) throw fault
    return false // the provider's reset, or our own abort
  }
}

async function keepBooks(state: State): Promise<void> {
  await state.lease?.heard()
  await keepCovered(state)
}

const drained = (client: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      client.off('drain', done).off('close', done)
      resolve()
    }
    client.on('drain', done).on('close', done)
  })

/** Extends the lease in time; where no more can be had and it is used up, cuts. */
async function keepCovered(state: State): Promise<void> {
  const { lease } = state
  if (!lease || state.ended) return
  const covered = await lease.cover()
  if (!isRefusal(covered) || state.ended || state.lease !== lease) return
  state.ended = 'cut'
  state.cutting = cut(state, lease, covered)
  await state.cutting
}

/** Settle, abort, end well-formed, in this order. */
async function cut(state: State, lease: Lease, refusal: Refusal): Promise<void> {
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

async function settle(state: State, how: 'known' | 'free'): Promise<void> {
  const { wiring, live, admission, lease } = state
  if (!lease || !admission) return
  const { model } = admission.asked
  state.lease = null // whoever comes second finds nothing left to settle
  const bill = await lease.settle(how)
  countRequest(live, model, bill.tokens, bill.nanoUsd)
  if (bill.how === 'exact' && state.meter) {
    const own = tokensOf(state.meter.reported)
    remember(live, { model, body: state.raw, tokens: totalInput(own) + own.output })
  }
  wiring.emit({ type: 'request.settled', attempt: live.grant.attempt, model, nanoUsd: bill.nanoUsd, how: bill.how })
}
