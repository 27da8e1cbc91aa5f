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
import type { IncomingMessage, ServerResponse } from 'node:http'
import { overloadedMs } from '../core/cool-down.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { reasonOf } from '../core/vendor-refusal.ts'
import { admit, waiterOf, type Admission } from './admit.ts'
import { counterFor } from './count.ts'
import { answerOf, quirks, send, type AnswerKind } from './answer.ts'
import { readBody } from './body.ts'
import { maskStream, requestHeaders, responseHeaders } from './header.ts'
import { openLease } from './lease.ts'
import { densityOf, judge, untold, type AbortReason } from './live.ts'
import { meterBody, meterStream, type Meter } from './meter.ts'
import { upstreamUrl } from './route.ts'
import { mostBodyBytes, mostInFlight } from './wiring.ts'
import { pause, type Waiter } from './turnstile.ts'
import { ask, type Outgoing } from './upstream.ts'
import { tokensOf } from './usage.ts'
import { abort, keepCovered, move, reachBudget, settle, watch, type Flight, type Visit } from './flight.ts'

/** How often a provider that says later is asked again for one request, and how long that may take. */
const mostRepeats = 6
const longestPauseMs = 20_000

/** Carries one request through. Rejects only on a fault of the ledger. */
export async function exchange(visit: Visit, request: IncomingMessage, client: ServerResponse): Promise<void> {
  const { wiring, live } = visit
  const ending = new AbortController()
  const state: Flight = {
    ...visit,
    client,
    realKey: '',
    keyHeader: null,
    admission: null,
    raw: Buffer.alloc(0),
    bodyBytes: 0,
    request: null,
    meter: null,
    streams: false,
    lease: null,
    usesBefore: false,
    times: 0,
    over: ending.signal,
    ended: null,
    cutting: null,
    movedAt: wiring.world.clock.mono(),
  }
  const over = Promise.withResolvers<void>()
  const flight = {
    abort: (why: AbortReason) => {
      abort(state, why)
      ending.abort()
    },
    done: over.promise,
    heldNanoUsd: () => state.lease?.heldNanoUsd() ?? 0,
  }
  live.exchanges.add(flight)
  const gone = (): void => {
    if (!client.writableFinished) flight.abort('client-gone')
  }
  client.on('close', gone)
  request.socket.on('close', gone) // an answer that waits for the one before it on the same connection does not hear of its end
  try {
    await carry(state, request)
  } finally {
    await settle(state, 'known').catch(() => {}) // after a fault: what is still held; a ledger that fails again is recovered at the next start
    request.socket.off('close', gone)
    live.exchanges.delete(flight)
    live.bodyBytes -= state.bodyBytes
    over.resolve()
  }
}

async function carry(state: Flight, request: IncomingMessage): Promise<void> {
  const { wiring, live, route } = state
  if (live.exchanges.size > mostInFlight)
    return deny(
      state,
      'limit-short',
      refuse('limit-short', 'this attempt has too many requests under way at once'),
      null,
    )
  const take = (bytes: number): boolean => {
    state.bodyBytes += bytes
    live.bodyBytes += bytes
    return live.bodyBytes <= mostBodyBytes
  }
  const raw = await readBody(request, take).catch(() => null)
  if (raw === null) return // the client went away before it had asked anything
  if (isRefusal(raw)) return deny(state, kindOf(raw.refused), raw, null)
  state.raw = raw
  const waiter = waiterOf(wiring, live, route, () => state.ended !== null || live.revoked)
  for (let pauseMs = 0; ;) {
    const { usesBefore } = state
    const again = await askOnce(state, request, waiter)
    if (!again || state.admission === null) return
    state.times += 1
    if (state.usesBefore !== usesBefore) continue // at once, with the other key
    pauseMs = overloadedMs(pauseMs, wiring.world.random())
    await pause(wiring.world, waiter, pauseMs, state.over)
  }
}

/** Waits, holds, asks and passes on. True: the provider said later, nothing has reached the client, and it may be asked again. */
async function askOnce(state: Flight, request: IncomingMessage, waiter: Waiter): Promise<boolean> {
  const { wiring, live, route } = state
  const outgoing = route.kind === 'models' ? free(state) : await admitted(state, waiter, request.headers)
  if (!outgoing) return false
  const leave = state.admission?.leave
  if (state.admission?.hold)
    state.lease = openLease(wiring, state.admission.hold, shapeOf(state, state.admission), () => state.meter)
  state.movedAt = wiring.world.clock.mono() // its waiting here was no silence of the provider's
  const stop = watch(state)
  try {
    if (state.ended) {
      await settle(state, 'free') // gone or revoked while the hold was written: nothing has left
      return false
    }
    const mayRepeat = !wiring.verbatim && state.times < mostRepeats && waiter.patienceMs() > 2 * longestPauseMs
    return await forward(state, { method: request.method ?? 'GET', headers: request.headers, mayRepeat, ...outgoing })
  } finally {
    stop()
    leave?.over(state.meter?.reported.final ? tokensOf(state.meter.reported) : undefined)
    if (state.meter) wiring.moved(live.grant.attempt, 'bytes')
  }
}

const shapeOf = ({ wiring, live }: Flight, { asked }: Pick<Admission, 'asked'>) => ({
  lane: live.grant.lane,
  bytesPerToken: densityOf(live, asked.model) ?? wiring.limits.bytesPerToken,
})

type Leaving = { url: URL; body: Buffer }

function free(state: Flight): Leaving | null {
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

async function admitted(state: Flight, waiter: Waiter, headers: IncomingMessage['headers']): Promise<Leaving | null> {
  const { wiring, live, route } = state
  const admission = await admit(wiring, live, route, state.raw, waiter, (asked, upstream) =>
    counterFor(state, asked, upstream, headers),
  )
  if (isRefusal(admission)) {
    const { refused } = admission
    if (refused === 'client-gone') return null
    if (refused === 'over-budget') reachBudget(state, admission, false)
    deny(state, kindOf(refused), admission, route.model)
    return null
  }
  const { asked, upstream, body } = admission
  tellTools(state, 'tools.stripped', asked.stripped)
  tellTools(state, 'tools.passed', [...asked.passed.map(({ tool }) => tool), ...asked.references])
  state.admission = admission
  state.realKey = (state.usesBefore ? upstream.before?.() : null) ?? upstream.key()
  state.keyHeader = upstream.keyHeader ?? null
  return { url: upstreamUrl(upstream.baseUrl, route.path, upstream.apiVersion), body }
}

function tellTools({ wiring, live }: Flight, type: 'tools.stripped' | 'tools.passed', names: readonly string[]): void {
  const { attempt, task } = live.grant
  const tools = untold(live, type, names)
  if (tools.length > 0) wiring.emit({ type, attempt, task, tools })
}

function kindOf(refused: string): AnswerKind {
  if (refused === 'over-budget' || refused === 'limit-short' || refused === 'limit-long') return refused
  if (refused === 'body-too-large') return 'too-large'
  return ['body-unfit', 'body-encoded', 'field-denied', 'price-unknown', 'price-old'].includes(refused)
    ? 'unfit'
    : 'denied'
}

function deny(state: Flight, kind: AnswerKind, { refused, why }: Refusal, model: string | null): void {
  const { wiring, live, route, client } = state
  if (refused === 'limit-short' || refused === 'limit-long') judge(live, 'rate-limited', why)
  else if (refused !== 'over-budget') {
    judge(live, 'refused', why)
    wiring.emit({ type: 'request.denied', attempt: live.grant.attempt, refused, why, model })
  }
  send(client, answerOf(route.dialect, kind, why))
}

async function forward(
  state: Flight,
  asked: Leaving & { method: string; headers: IncomingMessage['headers']; mayRepeat: boolean },
): Promise<boolean> {
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
  const reply = await ask(
    wiring,
    outgoing,
    (request) => (state.request = request),
    () => state.ended !== null,
  )
  if ('error' in reply) {
    const isClosed = !state.ended && state.admission?.leave?.unheard() === true
    await unanswered(state, reply.error, reply.sent, isClosed)
    return false
  }
  const { response } = reply
  const status = response.statusCode ?? 502
  if (status >= 300 && status < 400) {
    response.destroy()
    await unanswered(state, new Error(`answered with a redirect (${status})`), false)
    return false
  }
  if (status >= 400) return passRefusal(state, response, status, asked.mayRepeat)
  state.admission?.leave?.heard(status, response.headers, '')
  await passAnswer(state, response)
  return false
}

/** Once the whole family is closed because nobody reaches it (`isClosed`), it is no failure of whoever asked: it waits as for a limit. */
async function unanswered(state: Flight, error: Error, sent: boolean, isClosed = false): Promise<void> {
  const { live, route, client } = state
  await settle(state, sent ? 'known' : 'free')
  if (state.ended) return void client.destroy()
  const { code: named, statusCode } = error as NodeJS.ErrnoException & { statusCode?: number } // the status: of a proxy that opened no tunnel
  const code = [named ?? error.message, statusCode].filter((each) => each !== undefined).join(' ')
  judge(live, isClosed ? 'rate-limited' : 'unreachable', `the provider could not be reached: ${code}`)
  send(client, answerOf(route.dialect, 'unreachable', `the provider could not be reached: ${code}`))
}

/**
 * A provider's no goes through as it is, because clients match its wording; only a key it does not know gets the status that makes the client stop.
 * A gateway time-out may hide work that was done and is billed.
 */
async function passRefusal(
  state: Flight,
  response: IncomingMessage,
  status: number,
  mayRepeat: boolean,
): Promise<boolean> {
  const { live, client, realKey } = state
  const masker = maskStream(realKey)
  const body = await collect(state, response)
  const { family } = live.grant
  const text = body?.toString('utf8') ?? ''
  if (body && status === 401 && !state.usesBefore && state.admission?.upstream.before?.()) {
    state.usesBefore = true
    await settle(state, 'free')
    return true
  }
  const signal = state.admission?.leave?.heard(status, response.headers, text).kind ?? 'fine'
  const isLater = signal === 'limited' || signal === 'overloaded'
  const verdict = isLater || status === 429 ? 'rate-limited' : status >= 500 ? 'unreachable' : 'refused'
  const reason = reasonOf({ family, status, text })
  judge(live, verdict, reason)
  await settle(state, status === 504 || status === 524 ? 'known' : 'free')
  if (!body || state.ended) {
    client.destroy()
    return false
  }
  if (isLater && mayRepeat) return true
  const isVerbatim = state.wiring.verbatim === true
  if (signal === 'exhausted' && !isVerbatim) {
    send(client, answerOf(state.route.dialect, 'limit-long', reason)) // its own 429 would have some clients sleep for hours
    return false
  }
  const { 'content-length': _, ...headers } = responseHeaders(response.headers, realKey)
  client.writeHead(status === 401 && !isVerbatim ? quirks[state.route.dialect].wrongKeyStatus : status, headers)
  client.end(Buffer.concat([masker.push(body), masker.flush()]))
  return false
}

/** No provider has more to say about a refusal. */
const longestRefusal = 1024 * 1024

async function collect(state: Flight, response: IncomingMessage): Promise<Buffer | null> {
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length // a refusal is no activity: whoever does nothing but try again is found silent
      if (bytes <= longestRefusal) parts.push(chunk)
    }
    return Buffer.concat(parts)
  } catch {
    return null // reset or aborted: the caller drops the connection as the provider did
  }
}

async function passAnswer(state: Flight, response: IncomingMessage): Promise<void> {
  const { route, client, realKey } = state
  const streams = /^text\/event-stream/i.test(response.headers['content-type'] ?? '')
  state.streams = streams
  const hideUsage = route.dialect === 'openai-chat' && streams && state.admission?.asked.includeUsage === false
  const meter = streams
    ? meterStream(route.dialect, { hideUsage, tools: (state.admission?.asked.passed.length ?? 0) > 0 })
    : meterBody(route.dialect)
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
  if (state.admission?.hold)
    if (failure !== null) judge(state.live, verdictOf(failure), failure)
    else if (saidAll(state, meter)) judge(state.live, null)
    else judge(state.live, 'unreachable', "the provider's answer ended before its last word")
  client.end(rest)
}

/** Whether an answer is whole; servers that speak chat completions may say nothing of usage, and thus have no last word. */
const saidAll = ({ route }: Flight, { reported }: Meter): boolean => reported.final || route.dialect === 'openai-chat'

const verdictOf = (failure: string): 'rate-limited' | 'unreachable' | 'refused' =>
  /rate.?limit|quota|exhausted/i.test(failure)
    ? 'rate-limited'
    : /overloaded|server|unavailable|api_error/i.test(failure)
      ? 'unreachable'
      : 'refused'

/**
 * Passes bytes on, waiting for a slow client and for money. False when the answer broke off; rejects when the ledger does. Called for each event of each
 * stream, so it makes no promise while there is nothing to wait for.
 */
function pump(state: Flight, response: IncomingMessage, take: (chunk: Buffer) => Buffer): Promise<boolean> {
  const { client } = state
  return new Promise((resolve, reject) => {
    const pass = (bytes: Buffer): Promise<void> | null =>
      state.ended || bytes.length === 0 || client.write(bytes) ? null : drained(client)
    const next = (chunk: Buffer): Promise<unknown> | null => {
      move(state)
      const bytes = take(chunk)
      const covered = keepBooks(state)
      return covered === null ? pass(bytes) : covered.then(() => pass(bytes))
    }
    const broken = (): void => resolve(false)
    const fail = (error: unknown): void => {
      reject(error)
      response.destroy()
    }
    response.on('data', (chunk: Buffer) => {
      try {
        const waits = next(chunk)
        if (waits === null) return
        response.pause()
        waits.then(() => response.resume(), fail)
      } catch {
        response.destroy() // not to be metered: settled as if it had broken off
      }
    })
    response.on('end', () => resolve(state.ended === null))
    response.on('error', broken).on('close', broken) // the provider's reset, or our own abort
  })
}

/** The input's charge is written while its bytes pass on: the hold covers it until then. Only money that is missing holds them up. */
function keepBooks(state: Flight): Promise<void> | null {
  state.lease?.heard()?.catch(() => abort(state, 'ledger-failed'))
  return keepCovered(state)
}

const drained = (client: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      client.off('drain', done).off('close', done)
      resolve()
    }
    client.on('drain', done).on('close', done)
  })
