/**
 * The cool-down of one family's model: when its next request may leave so that the provider's limits are met and never run into.
 *
 *     levels (a mirror of what the headers say is left) ─ enough for this request? ─no─▶ wait until it has filled up
 *     open ──429, short──▶ gated until its delay; the window narrows ──time──▶ open
 *       ├───429, long───▶ exhausted: one probe at the named reset, or after 5, 10, 20, 30, 30 … min ──answered──▶ open
 *       ├───overloaded, once or twice──▶ paused for a second or a few; the window narrows ──time──▶ open
 *       ├───3 × overloaded──▶ broken for 60 s ──one probe──▶ open, or broken again, for longer the longer it has been
 *       └───key refused──▶ closed until the key is another
 *
 * Pure: moments are epoch milliseconds that never run backwards, chance is handed in. The rules and figures are those of facts/budget.md §4 and
 * numbers.md. An answer to a request that left before a state began never ends that state.
 */

/** What a provider counts: requests, or tokens in all, in, or out. */
export type Counted = 'requests' | 'tokens' | 'input' | 'output'

/** How much of one limit is left, and the moment at which all of it is again. */
export type Level = { limit: number; remaining: number; resetAt: number }
export type Levels = Partial<Record<Counted, Level>>

/** What an answer says about limits. */
export type Signal =
  | { kind: 'fine' }
  /** For some minutes at most. `delayMs` null: not said. */
  | { kind: 'limited'; delayMs: number | null }
  /** For hours or days: a plan's window, a day's quota, no credit. */
  | { kind: 'exhausted'; delayMs: number | null }
  /** Not about this account. */
  | { kind: 'overloaded'; delayMs: number | null }
  | { kind: 'key-refused' }

/** What a request will take of each limit, as far as one can tell. */
export type Cost = Readonly<Record<Counted, number>>

export type CoolDown = {
  levels: Levels
  /** When `levels` were true, and the request they came with: of two answers the one that was asked for later knows more. */
  levelsAt: number
  levelsOf: number
  /** What has left and is not in `levels` yet: requests whose answer has not begun. */
  unheard: readonly { id: number; cost: Cost }[]
  /** Answers that have begun and are still being made: what they will come to is in no level yet. */
  streaming: readonly { id: number; output: number }[]
  /** How many requests may be on the way to their answer's beginning at once; adapted by 429s and answers. */
  window: number
  narrowedAt: number | null
  gatedUntil: number | null
  /** Until when one overloaded answer holds everybody back. */
  pausedUntil: number | null
  exhausted: { since: number; until: number | null; probes: number; probeAt: number } | null
  broken: { since: number; until: number } | null
  /** Overloaded answers in a row, and 429s in a row of requests that left after the one before. */
  failures: number
  refusals: number
  refusedAt: number | null
  /** Since when the provider does not know the key. */
  keyRefused: number | null
  /** A request that may end `exhausted` or `broken`. */
  probe: number | null
}

/** A delay above this is not waited for in one piece but asked about in between (facts/budget.md §4). */
export const longDelayMs = 300_000
/** A 429 without a delay. */
const plainDelayMs = 60_000
/** A 429 whose delay is next to nothing: so long at least, doubled with each that follows on it. */
const leastDelayMs = 1000
const mostRefusals = 5
const probeAfterMs = [5, 10, 20, 30].map((minutes) => minutes * 60_000)
/** A reset so near is waited for; one that is further off may have been named wrongly, and is asked about in between. */
const believedMs = 30 * 60_000
const breakerFailures = 3
const breakerMs = 60_000
/** A provider that stays away is asked again after this share of the time it has been, and at least so often: each asking costs a start. */
const breakerShare = 0.1
const longestBreakerMs = 10 * 60_000
const narrowing = 0.7
const narrowEveryMs = 5000
/** Of a provider nobody has heard of yet, one request says what its limits are. */
const firstWindow = 1
const widestWindow = 64

export const newCoolDown = (at: number): CoolDown => ({
  levels: {},
  levelsAt: at,
  levelsOf: 0,
  unheard: [],
  streaming: [],
  window: firstWindow,
  narrowedAt: null,
  gatedUntil: null,
  pausedUntil: null,
  exhausted: null,
  broken: null,
  failures: 0,
  refusals: 0,
  refusedAt: null,
  keyRefused: null,
  probe: null,
})

export const closings = ['limit', 'exhausted', 'overloaded', 'key', 'window', 'price'] as const
/** Why a request waits: a limit's level, a used-up quota, an overloaded provider, a refused key, others that are on their way, no price to trust. */
export type Closing = (typeof closings)[number]

const closingWords: Readonly<Record<Closing, string>> = {
  limit: "the provider's limit for MODEL is reached",
  exhausted: "the account's quota for MODEL is used up",
  overloaded: 'the provider of MODEL is overloaded or cannot be reached',
  key: 'the provider of MODEL does not know the key',
  window: 'other requests for MODEL are on their way first',
  price: 'the price of MODEL is unknown or too old (tri-agent prices check)',
}

/** Half a sentence for people. */
export const tellClosing = (why: Closing, model: string): string => closingWords[why].replace('MODEL', () => model)

export type Passage = { may: true } | { may: false; why: Closing; until: number | null }

const closed = (why: Closing, until: number | null): Passage => ({ may: false, why, until })

/** May a request of this cost leave now? `until`: when to ask again; null: when something was heard. */
export function mayLeave(state: CoolDown, cost: Cost, at: number): Passage {
  if (state.keyRefused !== null) return closed('key', null)
  const barred = barredBy(state)
  if (barred && (at < barred.opens || state.probe !== null))
    return closed(barred.why, at < barred.opens ? barred.opens : null)
  if (state.gatedUntil !== null && at < state.gatedUntil) return closed('limit', state.gatedUntil)
  if (state.pausedUntil !== null && at < state.pausedUntil) return closed('overloaded', state.pausedUntil)
  const fits = fitsAt(state, cost, at)
  if (fits === null || fits > at) return closed('limit', fits)
  if (state.unheard.length >= Math.floor(state.window)) return closed('window', null)
  return { may: true }
}

function barredBy({ exhausted, broken }: CoolDown): { why: Closing; since: number; opens: number } | null {
  if (exhausted) return { why: 'exhausted', since: exhausted.since, opens: exhausted.probeAt }
  if (broken) return { why: 'overloaded', since: broken.since, opens: broken.until }
  return null
}

/** A request has left; ids grow. Where the provider is thought closed it is the probe. */
export function departed(state: CoolDown, id: number, cost: Cost): CoolDown {
  const unheard = [...state.unheard, { id, cost }]
  return barredBy(state) && state.probe === null ? { ...state, unheard, probe: id } : { ...state, unheard }
}

/** A request is over: answered to its end, or never to be answered. */
export function finished(state: CoolDown, id: number): CoolDown {
  return {
    ...state,
    unheard: state.unheard.filter((each) => each.id !== id),
    streaming: state.streaming.filter((each) => each.id !== id),
    probe: state.probe === id ? null : state.probe,
  }
}

export type Heard = { id: number; leftAt: number; at: number; signal: Signal; levels: Levels; chance: number }

/** The beginning of an answer. */
export function heard(before: CoolDown, { id, leftAt, at, signal, levels, chance }: Heard): CoolDown {
  const wasProbe = before.probe === id
  const left = before.unheard.find((each) => each.id === id)
  const state = mirrored(finished(before, id), id, levels, at)
  switch (signal.kind) {
    case 'fine':
      return answered(left ? streams(state, left) : state, leftAt, wasProbe)
    case 'limited':
      return refused(state, signal.delayMs, at, leftAt, chance)
    case 'exhausted':
      return usedUp(state, signal.delayMs, at, wasProbe, leftAt)
    case 'overloaded':
      return failed(state, { at, leftAt, chance }, wasProbe)
    case 'key-refused':
      return { ...state, keyRefused: at }
  }
}

const streams = (state: CoolDown, { id, cost }: { id: number; cost: Cost }): CoolDown => ({
  ...state,
  streaming: [...state.streaming, { id, output: cost.output }],
})

const mirrored = (state: CoolDown, id: number, levels: Levels, at: number): CoolDown =>
  Object.keys(levels).length === 0 || id < state.levelsOf ? state : { ...state, levels, levelsAt: at, levelsOf: id }

function answered(state: CoolDown, leftAt: number, wasProbe: boolean): CoolDown {
  const ends = (since: number): boolean => wasProbe || leftAt > since
  const isMirrored = Object.keys(state.levels).length > 0
  return {
    ...state,
    exhausted: state.exhausted && !ends(state.exhausted.since) ? state.exhausted : null,
    broken: state.broken && !ends(state.broken.since) ? state.broken : null,
    failures: 0,
    refusals: state.refusedAt === null || ends(state.refusedAt) ? 0 : state.refusals,
    // with a mirror the levels decide, and the window is only to grow out of the way
    window: Math.min(widestWindow, state.window + (isMirrored ? 2 : 1 / state.window)),
  }
}

/** Gates for the delay; where nothing but 429s comes, the delays that are named are not true, and it is taken as exhausted. */
function refused(state: CoolDown, delayMs: number | null, at: number, leftAt: number, chance: number): CoolDown {
  const isNew = state.refusedAt === null || leftAt > state.refusedAt
  const refusals = state.refusals + Number(isNew)
  if (refusals > mostRefusals) return usedUp({ ...state, refusals, refusedAt: at }, null, at, false, leftAt)
  const leastMs = leastDelayMs * 2 ** (refusals - 1)
  const until = at + Math.ceil(Math.max(leastMs, delayMs ?? plainDelayMs) * (1 + 0.1 * chance))
  const mayNarrow = state.narrowedAt === null || at - state.narrowedAt >= narrowEveryMs
  return {
    ...(mayNarrow ? narrowed(state, at) : state),
    gatedUntil: Math.max(state.gatedUntil ?? 0, until),
    failures: 0,
    refusals,
    refusedAt: at,
  }
}

/** Fewer may be on the way than were. */
const narrowed = (state: CoolDown, at: number): CoolDown => ({
  ...state,
  window: Math.max(1, Math.min(state.window, state.unheard.length + 1) * narrowing),
  narrowedAt: at,
})

function usedUp(state: CoolDown, delayMs: number | null, at: number, wasProbe: boolean, leftAt: number): CoolDown {
  const { exhausted } = state
  if (exhausted && !wasProbe && leftAt <= exhausted.since) return state // one more of those that had left before
  const until = delayMs === null ? null : at + delayMs
  const probes = exhausted && wasProbe ? exhausted.probes + 1 : 0
  const waitMs = probeAfterMs[Math.min(probes, probeAfterMs.length - 1)]!
  const isBelieved = delayMs !== null && delayMs <= believedMs
  const probeAt = isBelieved ? at + delayMs : Math.min(until ?? Infinity, at + waitMs)
  return { ...state, exhausted: { since: exhausted?.since ?? at, until, probes, probeAt }, window: 1, failures: 0 }
}

function failed(
  state: CoolDown,
  { at, leftAt, chance }: Pick<Heard, 'at' | 'leftAt' | 'chance'>,
  wasProbe: boolean,
): CoolDown {
  if (state.broken) {
    if (!wasProbe && leftAt <= state.broken.since) return state
    const { since } = state.broken
    const awayMs = Math.min(Math.max(breakerMs, (at - since) * breakerShare), longestBreakerMs)
    return { ...state, broken: { since, until: at + Math.ceil(awayMs) } }
  }
  const failures = state.failures + 1
  if (failures >= breakerFailures)
    return { ...state, failures, window: firstWindow, broken: { since: at, until: at + breakerMs } }
  const isNew = state.pausedUntil === null || at >= state.pausedUntil // else it left together with the one before
  const pausedUntil = at + overloadedMs(1000 * state.failures, chance)
  return { ...(isNew ? narrowed(state, at) : state), failures, pausedUntil }
}

/** The key is another one now: whether it is known is to be seen. */
export const withNewKey = (state: CoolDown): CoolDown => ({ ...state, keyRefused: null, exhausted: null, probe: null })

/** The moment at which every limit holds `cost` beside what is not counted yet; null: once something was heard of that. */
function fitsAt(state: CoolDown, cost: Cost, at: number): number | null {
  let latest = at
  for (const [counted, level] of Object.entries(state.levels) as [Counted, Level][]) {
    const fits = filledAt(level, state.levelsAt, uncounted(state, counted), Math.min(cost[counted], level.limit), at)
    if (fits === null) return null
    latest = Math.max(latest, fits)
  }
  return latest
}

const uncounted = ({ unheard, streaming }: CoolDown, counted: Counted): number =>
  unheard.reduce((sum, each) => sum + each.cost[counted], 0) +
  (counted === 'output' ? streaming.reduce((sum, { output }) => sum + output, 0) : 0)

/** A limit fills evenly from what was left until its reset. */
function filledAt(level: Level, since: number, owed: number, cost: number, at: number): number | null {
  const { limit, remaining, resetAt } = level
  const wanted = owed + cost
  if (wanted <= remaining) return at
  if (wanted > limit) return null
  if (at >= resetAt) return at
  const share = (wanted - remaining) / Math.max(1, limit - remaining)
  return Math.max(at, Math.ceil(since + share * (resetAt - since)))
}

/** A family is closed to new work for this long: less is waited out inside a request. */
const worthClosingMs = 45_000

/**
 * Why no work may start on this, since when, and until when (Infinity: until a person has set another key); null: it may. Of a provider that could not
 * be reached it is still told when its time is over: the next one finds out.
 */
export function closedUntil(state: CoolDown, at: number): { until: number; since: number; why: Closing } | null {
  if (state.keyRefused !== null) return { until: Infinity, since: state.keyRefused, why: 'key' }
  const barred = barredBy(state)
  if (barred && (barred.opens > at || barred.why === 'overloaded'))
    return { until: barred.opens, since: barred.since, why: barred.why }
  if (state.gatedUntil !== null && state.gatedUntil - at > worthClosingMs)
    return { until: state.gatedUntil, since: state.refusedAt ?? at, why: 'limit' }
  return null
}

/** Milliseconds until an overloaded request is asked again: decorrelated jitter between 1 and 20 seconds; `last` is the one before. */
export const overloadedMs = (last: number, chance: number): number =>
  Math.round(Math.min(20_000, 1000 + chance * (Math.max(1000, 3 * last) - 1000)))

/** What of a cool-down outlives a restart. */
export type KeptCoolDown = Pick<CoolDown, 'exhausted' | 'broken' | 'gatedUntil'>

export const closingOf = ({ exhausted, broken, gatedUntil }: CoolDown): KeptCoolDown => ({
  exhausted,
  broken,
  gatedUntil,
})
