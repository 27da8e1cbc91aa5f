/**
 * Where requests wait for a provider's limits, before they hold any money: one queue and one cool-down for each model of a family.
 *
 *     request ─▶ queue ──core/cool-down: may leave──▶ Leave ─▶ heard (the answer's beginning) ─▶ over
 *                  └─ closed for longer than its client waits ─▶ Shut: when it opens, as far as one knows
 *
 * What closes a model is written down, so that a restart does not run into the same wall; what is left of a limit is asked anew.
 */
import {
  closedUntil,
  closingOf,
  departed,
  finished,
  heard,
  mayLeave,
  newCoolDown,
  tellClosing,
  withNewKey,
  type Closing,
  type CoolDown,
  type Cost,
  type Signal,
} from '../core/cool-down.ts'
import type { Event } from '../core/event.ts'
import type { Family } from '../core/family.ts'
import { showDuration } from '../core/quantity.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import { totalInput, type Tokens } from '../core/price.ts'
import type { World } from '../host/world.ts'
import { keepCoolDown, readCoolDowns } from '../store/cool-down.ts'
import type { Database } from '../store/database.ts'
import { append } from '../store/append.ts'
import { levelsIn, signalIn } from './rate-signal.ts'
import { createTurnstile, type Turnstile, type Waiter } from './turnstile.ts'

export type Departing = {
  family: Family
  model: string
  /** The real key, to see when it is another. */
  key: string
  bytes: number
  /** The most output the client asked for; null: it named none. */
  cap: number | null
}

export type Leave = {
  /** The beginning of the answer: its head, and for a refusal its body. */
  heard(status: number, headers: Readonly<Record<string, string | string[] | undefined>>, body: string): Signal
  /** There was no answer. True where that is so often by now that the family is closed for it. */
  unheard(): boolean
  /** It is over; what it took, where that is known. May be called twice. */
  over(tokens?: Tokens): void
}

/** Closed for longer than its client waits; `ms` until it may open, where that is known. */
export type Shut = { shut: Closing; ms: number | null }
/** A model that may not be asked: `until` epoch ms, Infinity for as long as its key is the same. */
export type Closed = { family: Family; model: string; since: number; until: number; why: Closing }

export type CoolDowns = {
  /** Waits for its turn, no longer than the waiter's patience. */
  pass(asked: Departing, waiter: Waiter): Promise<Leave | Shut>
  /** What is closed to new work now. */
  closed(): Closed[]
  /** Somebody may have stopped waiting. */
  look(): void
}

type Entry = {
  family: Family
  model: string
  state: CoolDown
  key: string
  turnstile: Turnstile
  /** Tokens of input that count for each byte asked, and of output for each request: learned, taken high at first. */
  learned: { inputPerByte: number; output: number }
  /** What was written down of it. */
  kept: string
}

const firstLearned = { inputPerByte: 0.35, output: 1000 }
/** How much one more answer says against all before it. */
const weight = 0.2

/** Starts with what an earlier daemon wrote down. `keyOf`: the real key of a family as it is now; empty: none. */
export async function createCoolDowns(
  world: World,
  database: Database,
  failed: (error: unknown) => void,
  keyOf: (family: Family) => string = () => '',
): Promise<CoolDowns> {
  const now = steadyClock(world)
  const entries = new Map<string, Entry>()
  let departures = 0
  const entryOf = (family: Family, model: string): Entry => {
    const name = `${family} ${model}`
    let entry = entries.get(name)
    if (!entry) {
      const turnstile = createTurnstile(world)
      entry = { family, model, state: newCoolDown(now()), key: '', turnstile, learned: { ...firstLearned }, kept: '' }
      entries.set(name, entry)
    }
    return entry
  }
  for (const { family, model, exhausted, broken, gatedUntil } of await database.read(readCoolDowns)) {
    const entry = entryOf(family, model)
    entry.state = { ...entry.state, exhausted, broken, gatedUntil }
    entry.kept = keptOf(entry.state)
  }
  const change = (entry: Entry, state: CoolDown): void => {
    const before = entry.state
    entry.state = state
    entry.turnstile.look()
    const kept = keptOf(state)
    const { family, model } = entry
    const at = world.clock.now()
    const events = told(entry, before, closing(state, now())?.until ?? at)
    if (kept === entry.kept && events.length === 0) return
    entry.kept = kept
    const written = database.write(async (tx) => {
      await keepCoolDown(tx, { family, model, ...closingOf(state) })
      if (events.length > 0) await append(tx, { at, actor: 'gateway', stream: `family/${family}`, events })
    })
    written.catch(failed)
  }
  return {
    async pass(asked, waiter) {
      const entry = entryOf(asked.family, asked.model)
      if (entry.key !== asked.key) {
        if (entry.state.keyRefused !== null) change(entry, withNewKey(entry.state))
        entry.key = asked.key
      }
      const passed = await entry.turnstile.pass<Leave | Shut>(waiter, async () => {
        const at = now()
        const passage = mayLeave(entry.state, costOf(asked, entry.learned), at)
        if (passage.may) return depart(asked, entry, ++departures)
        const { why, until } = passage
        const isHopeless = why === 'key' || (until !== null && until - at > hopelessMs(why, waiter))
        return isHopeless
          ? { shut: why, ms: until === null ? null : until - at }
          : { waits: why, ms: until === null ? Infinity : until - at, blocks: true }
      })
      if (!('waits' in passed)) return passed
      return { shut: passed.waits as Closing, ms: passed.ms === Infinity ? null : passed.ms }
    },
    look,
    closed() {
      const at = now()
      return [...entries.values()].flatMap(({ family, model, state, key }) => {
        // who is closed is not asked: it is seen here that there is another key to ask with
        const isNew = state.keyRefused !== null && !['', key].includes(keyOf(family))
        const found = closing(isNew ? withNewKey(state) : state, at)
        return found ? [{ family, model, ...found }] : []
      })
    },
  }

  /** By the wall clock, as everybody else counts. To the second, so that the same closing is always told as the same. */
  function closing(state: CoolDown, at: number): ReturnType<typeof closedUntil> {
    const found = closedUntil(state, at)
    const aheadMs = Math.round((at - world.clock.now()) / 1000) * 1000
    return found && { ...found, since: found.since - aheadMs, until: found.until - aheadMs }
  }

  function look(): void {
    for (const { turnstile } of entries.values()) turnstile.look()
  }

  function depart(asked: Departing, entry: Entry, id: number): Leave {
    const leftAt = now()
    change(entry, departed(entry.state, id, costOf(asked, entry.learned)))
    return {
      heard(status, headers, body) {
        const at = now()
        const signal = signalIn(asked.family, status, headers, body, at)
        const levels = levelsIn(headers, at)
        // a no to the key before is none to this one
        if (signal.kind === 'key-refused' && asked.key !== entry.key) change(entry, finished(entry.state, id))
        else change(entry, heard(entry.state, { id, leftAt, at, signal, levels, chance: world.random() }))
        return signal
      },
      unheard() {
        const signal = { kind: 'overloaded', delayMs: null } as const
        change(entry, heard(entry.state, { id, leftAt, at: now(), signal, levels: {}, chance: world.random() }))
        return entry.state.broken !== null
      },
      over(tokens) {
        change(entry, finished(entry.state, id))
        if (tokens) entry.learned = learn(entry.learned, asked, tokens)
      },
    }
  }
}

/** Epoch milliseconds that never run backwards: a clock set back waits for nothing, one that jumps ahead (sleep) is believed. */
function steadyClock({ clock }: World): () => number {
  let ahead = clock.now() - clock.mono()
  return () => {
    ahead = Math.max(ahead, clock.now() - clock.mono())
    return Math.floor(ahead + clock.mono())
  }
}

const keptOf = (state: CoolDown): string => JSON.stringify(closingOf(state))

/** What the log is told: that a model closed for reasons a person may ask about, and that it is open again. */
function told({ family, model, state }: Entry, before: CoolDown, until: number): Event[] {
  const why = (of: CoolDown): Closing | null =>
    of.keyRefused !== null ? 'key' : of.exhausted ? 'exhausted' : of.broken ? 'overloaded' : null
  const now = why(state)
  if (now === why(before)) return []
  if (now === null) return [{ type: 'family.opened', family, model }]
  return [
    { type: 'family.closed', family, model, why: tellClosing(now, model), until: until === Infinity ? null : until },
  ]
}

/** Whoever would wait longer is told at once: an agent that waits for hours costs a slot, and its task may go on with another family. */
const hopelessMs = (why: Closing, waiter: Waiter): number =>
  why === 'exhausted' ? Math.min(45_000, waiter.patienceMs()) : waiter.patienceMs()

type Learned = Entry['learned']

/** Caches' gifts do not count with Anthropic; OpenAI counts what might be written at most. The others say nothing (facts/budget.md §2). */
function costOf({ family, bytes, cap }: Departing, learned: Learned): Cost {
  const input = Math.ceil(1.1 * bytes * learned.inputPerByte)
  const output = Math.ceil(1.5 * learned.output)
  return { requests: 1, input, output, tokens: family === 'openai' ? Math.max(cap ?? 0, input) : input + output }
}

function learn({ inputPerByte, output }: Learned, { family, bytes }: Departing, tokens: Tokens): Learned {
  const counted = family === 'anthropic' ? tokens.input + tokens.cacheWrite + tokens.cacheWriteHour : totalInput(tokens)
  const mix = (before: number, seen: number): number => before + weight * (seen - before)
  return { inputPerByte: mix(inputPerByte, counted / Math.max(1, bytes)), output: mix(output, tokens.output) }
}

/** What a client and the log are told of a model that may not be asked. `limit-short`: ask again; `limit-long`: stop asking. */
export function tellShut({ model }: Departing, { shut, ms }: Shut): Refusal {
  const why = tellClosing(shut, model)
  const isLong = shut === 'key' || shut === 'exhausted'
  return refuse(
    isLong ? 'limit-long' : 'limit-short',
    ms === null ? why : `${why}, to be asked again in ${showDuration(Math.ceil(ms / 10_000) * 10_000)}`,
  )
}
