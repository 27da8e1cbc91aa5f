/**
 * The gateway without its wire: keys, holds, limits and settlement are the shipped ledger's; what is modelled is the way from a request to them and
 * the provider behind it, who answers late, says no, hangs, or breaks off, and bills for what it made.
 */
import { heldTokens, scopePath } from '../../src/core/budget.ts'
import { overloadedMs } from '../../src/core/cool-down.ts'
import { dayOf } from '../../src/core/day.ts'
import { familyOf } from '../../src/core/family.ts'
import { costOf, findPrice, noTokens, ratesFor } from '../../src/core/price.ts'
import { isRefusal, refuse, type Refusal } from '../../src/core/refusal.ts'
import { reasonOf } from '../../src/core/vendor-refusal.ts'
import type { Gateway, GatewayOptions } from '../../src/gateway/gateway.ts'
import { Fault } from '../../src/host/fault.ts'
import { countRequest, enter, judge, reportOf, type Live } from '../../src/gateway/live.ts'
import { createCoolDowns, tellShut, type Leave } from '../../src/gateway/cool-downs.ts'
import { createTurnstile, type Waiter } from '../../src/gateway/turnstile.ts'
import type { Tx } from '../../src/store/database.ts'
import {
  chargeInput,
  extendHold,
  hashKey,
  keyOwner,
  placeHold,
  recoverHolds,
  revokeAllKeys,
  revokeKeys,
  setLimit,
  settleHold,
} from '../../src/store/ledger.ts'
import { setPace, watchSpending } from '../../src/store/pace.ts'
import type { Life } from './life.ts'
import { never, nextTime, troubleOf, type Answered, type Asked, type Machine } from './machine.ts'

type Flight = { live: Live; hold: number; asked: Asked; leave: Leave; isOver: boolean; cut(): void }
/** `mayRepeat`: a provider that says later is asked again before its client hears of it. */
type Once = { signal: { isDead(): boolean }; drop: () => void; waiter: Waiter; mayRepeat: boolean }

const nothing = { input: 0, output: 0 }
/** How long a provider that hangs is waited for. */
const patienceMs = 900_000
/** How long a client waits for an answer's head. */
const clientPatienceMs = 280_000
const mostRepeats = 6

/** What a provider says that does not answer. */
const refusals = {
  '429': { status: 429, headers: { 'retry-after': '20' }, text: '{"error":{"message":"not now"}}' },
  quota: { status: 429, headers: { 'retry-after': '7200' }, text: '{"error":{"code":"insufficient_quota"}}' },
  '500': { status: 500, headers: {}, text: '{"error":{"message":"not now"}}' },
  '529': { status: 529, headers: {}, text: '{"error":{"type":"overloaded_error"}}' },
} as const

export async function modelGateway(machine: Machine, life: Life, options: GatewayOptions): Promise<Gateway> {
  const { world, database, prices, limits } = options
  await database.write(async (tx) => {
    await setPace(tx, limits.pace, world.clock.now())
    await revokeAllKeys(tx, world.clock.now())
    await recoverHolds(tx, world.clock.now())
  })
  const lives = new Map<string, Live>()
  const flights = new Set<Flight>()
  const listeners = new Set<(attempt: string, kind: 'bytes' | 'waiting') => void>()
  const turnstile = createTurnstile(world)
  const coolDowns = await createCoolDowns(world, database, (error) =>
    options.onEvent?.({ type: 'gateway.failed', attempt: null, error: String(error) }),
  )
  const moved = (live: Live, kind: 'bytes' | 'waiting' = 'bytes') =>
    listeners.forEach((listener) => listener(live.grant.attempt, kind))
  const reachBudget = (live: Live, refusal: Refusal, cut: boolean) => {
    const { attempt, task, scope: own } = live.grant
    const scope = 'scope' in refusal ? String(refusal.scope) : own
    judge(live, 'over-budget', refusal.why, scope)
    options.onEvent?.({ type: 'budget.reached', attempt, task, why: refusal.why, scope, cut })
  }

  const ratesOf = ({ model, input }: Asked) => {
    const price = findPrice(prices, model)
    if (isRefusal(price)) throw new Error(price.why)
    return ratesFor(price, dayOf(world.clock.now()), input)
  }

  /** Ends a request's money: exactly, for nothing, or (cut off) for all that may have been made. */
  const settle = async (flight: Flight, how: 'exact' | 'estimated' | 'free', output: number) => {
    if (flight.isOver) return
    flight.isOver = true
    flight.leave.over()
    flights.delete(flight)
    const { asked, live } = flight
    const tokens = how === 'free' ? noTokens : { ...noTokens, input: asked.input, output }
    const nanoUsd = how === 'free' ? 0 : costOf(ratesOf(asked), tokens)
    const tripped = await database.write(async (tx) => {
      await settleHold(tx, flight.hold, { nanoUsd, tokens, how, at: world.clock.now() })
      return watchSpending(tx, world.clock.now())
    })
    if (tripped !== null) trip(`the breaker has tripped: ${tripped}`)
    turnstile.look()
    countRequest(live, asked.model, { tokens, nanoUsd, how, tools: [] })
  }

  const place = (tx: Tx, live: Live, asked: Asked) => {
    const day = dayOf(world.clock.now())
    const rates = ratesOf(asked)
    const first = heldTokens(limits.quantumTokens, asked.output, limits)
    return placeHold(tx, {
      keyHash: live.keyHash,
      grant: live.grant,
      model: asked.model,
      path: scopePath(live.grant, limits, day),
      inputNanoUsd: Math.ceil((asked.input * 1.2 * Math.max(rates.input, rates.cacheWrite)) / 1e6),
      inputTokens: Math.ceil(asked.input * 1.2),
      outputRate: rates.output,
      leastTokens: first,
      mostTokens: first,
      at: world.clock.now(),
      day,
    })
  }

  /** Connections that wait for an answer; a daemon that dies drops them all. */
  const waiting = new Set<() => void>()
  const ask = (key: string, asked: Asked, signal: { isDead(): boolean }): Promise<Answered> => {
    const { promise: dropped, resolve } = Promise.withResolvers<Answered>()
    const drop = () => resolve({ status: null, ...nothing })
    waiting.add(drop)
    return Promise.race([dropped, serve(key, asked, signal, drop)]).finally(() => waiting.delete(drop))
  }

  const serve = async (
    key: string,
    asked: Asked,
    signal: { isDead(): boolean },
    drop: () => void,
  ): Promise<Answered> => {
    const live = [...lives.values()].find((each) => each.keyHash === hashKey(key))
    if (!live || live.revoked) return { status: 401, ...nothing }
    if (familyOf(asked.model) !== live.grant.family || !live.grant.models.includes(asked.model))
      return { status: 403, ...nothing }
    const waiter = waiterOf(live, signal)
    for (let times = 0, pauseMs = 0; ; times++) {
      const answered = await askOnce(live, asked, { signal, drop, waiter, mayRepeat: times < mostRepeats })
      if (answered !== 'later') return answered
      pauseMs = overloadedMs(pauseMs, world.random())
      await life.delay(pauseMs, pauseMs)
    }
  }

  /** Waits for the provider's limits, then for money, then asks. */
  const askOnce = async (live: Live, asked: Asked, { waiter, ...how }: Once): Promise<Answered | 'later'> => {
    const { family } = live.grant
    const departing = { family, model: asked.model, key: 'a-key', bytes: asked.input * 4, cap: asked.output }
    const leave = await coolDowns.pass(departing, waiter)
    if ('shut' in leave) {
      if (waiter.gone()) return { status: 401, ...nothing }
      const shut = tellShut(departing, leave)
      judge(live, 'rate-limited', shut.why)
      return { status: shut.refused === 'limit-long' ? 402 : 429, ...nothing }
    }
    const answered = await askHeld(live, asked, leave, { waiter, ...how })
    leave.over()
    return answered
  }

  const askHeld = async (live: Live, asked: Asked, leave: Leave, how: Once): Promise<Answered | 'later'> => {
    const answered = await turnstile.pass(how.waiter, () => database.write((tx) => place(tx, live, asked)))
    const placed =
      'waits' in answered
        ? 'refusal' in answered
          ? answered.refusal
          : refuse('client-gone', 'nobody waits for it')
        : answered
    if (isRefusal(placed)) {
      if (placed.refused === 'over-budget') reachBudget(live, placed, false)
      else judge(live, 'refused', placed.why)
      return { status: placed.refused === 'over-budget' ? 402 : 401, ...nothing }
    }
    const flight: Flight = { live, hold: placed.hold, asked, leave, isOver: false, cut: how.drop }
    flights.add(flight)
    const rates = ratesOf(asked)
    const most = Math.ceil((asked.input * 1.2 * Math.max(rates.input, rates.cacheWrite)) / 1e6)
    const output = costOf(rates, { ...noTokens, output: asked.output })
    machine.bills.set(placed.hold, { madeNanoUsd: 0, mostNanoUsd: most + output + 10 })
    if (live.revoked) {
      await settle(flight, 'free', 0)
      return { status: 401, ...nothing }
    }
    return provide(flight, how)
  }

  /** No longer than its client waits, in all. */
  const waiterOf = (live: Live, signal: Once['signal']): Waiter => {
    const began = world.clock.mono()
    return {
      lane: live.grant.lane,
      patienceMs: () => Math.max(0, clientPatienceMs - (world.clock.mono() - began)),
      gone: () => live.revoked || signal.isDead(),
      waiting: () => moved(live, 'waiting'),
    }
  }

  /** The provider's side of one request. */
  const provide = async (flight: Flight, how: Once): Promise<Answered | 'later'> => {
    const { live, asked, leave } = flight
    const { family } = live.grant
    const dice = nextTime(machine, `ask ${family}`)
    const trouble = troubleOf(machine, family)
    await life.delay(300, 4000)
    if (flight.isOver) return never()
    if (!trouble) {
      leave.heard(200, {}, '')
      return stream(flight, how.signal, dice.between(Math.ceil(asked.output / 10), asked.output))
    }
    if (trouble === 'no-network') return unanswered(flight, 'free', 'no such host')
    if (trouble === 'hang') {
      await life.delay(patienceMs, patienceMs)
      return flight.isOver ? never() : unanswered(flight, 'estimated', 'the provider said nothing')
    }
    const { status, headers, text } = refusals[trouble]
    const { kind } = leave.heard(status, headers, text)
    const isLater = kind === 'limited' || kind === 'overloaded'
    judge(live, isLater || status === 429 ? 'rate-limited' : 'unreachable', reasonOf({ family, status, text }))
    await settle(flight, 'free', 0)
    if (isLater && how.mayRepeat && how.waiter.patienceMs() > 40_000) return 'later'
    return { status: kind === 'exhausted' ? 402 : status, ...nothing }
  }

  const unanswered = async (flight: Flight, how: 'free' | 'estimated', why: string): Promise<Answered> => {
    const isClosed = flight.leave.unheard()
    judge(flight.live, isClosed ? 'rate-limited' : 'unreachable', `the provider could not be reached: ${why}`)
    await settle(flight, how, flight.asked.output)
    return { status: null, ...nothing }
  }

  /** An answer in pieces: the input is charged first, and the hold grows before what it covers is made. */
  const stream = async (flight: Flight, signal: { isDead(): boolean }, output: number): Promise<Answered> => {
    const { live, asked, hold } = flight
    const rates = ratesOf(asked)
    const tokens = { ...noTokens, input: asked.input }
    const bill = machine.bills.get(hold)!
    await database.write((tx) => chargeInput(tx, hold, costOf(rates, tokens), tokens, world.clock.now()))
    let held = heldTokens(limits.quantumTokens, asked.output, limits)
    for (let made = 0; made < output; made += 1000) {
      bill.madeNanoUsd = costOf(rates, { ...tokens, output: made })
      await life.delay(2000, 9000)
      if (flight.isOver) return never()
      if (signal.isDead()) {
        await settle(flight, 'estimated', Math.min(output, made + 1000))
        return never()
      }
      moved(live)
      if (made + 1000 <= held || held === asked.output) continue
      const next = Math.min(asked.output, held + limits.quantumTokens)
      const more = Math.ceil(((next - held) * rates.output) / 1e6)
      const { lane } = live.grant
      const extended = await database.write((tx) =>
        extendHold(tx, hold, [{ nanoUsd: more, outputTokens: next }], { lane, at: world.clock.now() }),
      )
      if (isRefusal(extended)) {
        if ('scope' in extended && extended.scope === 'minute') trip(extended.why)
        await settle(flight, 'estimated', made)
        reachBudget(live, extended, true)
        return { status: 402, ...nothing }
      }
      held = next
    }
    bill.madeNanoUsd = costOf(rates, { ...tokens, output })
    await settle(flight, 'exact', output)
    judge(live, null)
    return { status: 200, input: asked.input, output }
  }

  const revoke = async (attempt: string): Promise<void> => {
    await life.pass('revoke begins')
    const live = lives.get(attempt)
    if (live) live.revoked = true
    coolDowns.look()
    turnstile.look()
    await database.write((tx) => revokeKeys(tx, attempt, world.clock.now()))
    for (const flight of [...flights].filter((each) => each.live === live)) {
      flight.cut()
      await settle(flight, 'estimated', flight.asked.output)
    }
    await life.pass('revoke ended')
  }
  const halt: Gateway['halt'] = async (attempt, { scope, why }) => {
    const live = lives.get(attempt)
    if (live) judge(live, 'over-budget', why, scope)
    await revoke(attempt)
  }
  const trip = (why: string) => {
    const spending = [...lives.values()].filter(({ revoked }) => !revoked).map(({ grant }) => grant.attempt)
    if (spending.length === 0) return
    options.onEvent?.({ type: 'breaker.tripped', why, attempts: spending })
    for (const attempt of spending) void halt(attempt, { scope: 'minute', why })
  }
  machine.gateway = { ask, drop: () => waiting.forEach((drop) => drop()) }
  return {
    url: 'http://127.0.0.1:8701',
    revoke,
    halt,
    adjust: async (next) => void Object.assign(limits, next), // nobody in a story changes settings
    closed: coolDowns.closed,
    pacerEmptyMs: turnstile.emptyMs,
    report: (attempt) => reportOf(lives.get(attempt)),
    async open(key, grant) {
      const keyHash = hashKey(key)
      const owner = await database.read((reader) => keyOwner(reader, keyHash))
      if (owner !== grant.attempt || lives.has(grant.attempt))
        throw new Fault('key-unknown', `no fresh key of attempt ${grant.attempt} is granted`)
      await database.write((tx) => setLimit(tx, grant.scope, grant.limitNanoUsd))
      lives.set(grant.attempt, enter(grant, keyHash))
      return { socket: `/sockets/${lives.size}` }
    },
    onActivity(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...lives.keys()].map(revoke))
      machine.gateway = null
    },
  }
}
