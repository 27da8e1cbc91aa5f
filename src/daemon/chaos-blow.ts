/**
 * The blows of chaos, drawn from a seed: the same seed deals the same blows in the same order. They come in decks, so that after one deck every kind of
 * blow was dealt, and a short chaos is not all of one kind. Pure.
 *
 *     seed ─▶ deck, shuffled ─▶ deck, shuffled ─▶ …
 */
import { wireTroubles, type WireTrouble } from '../../sim/fault-proxy.ts'
import { seededRandom } from '../../sim/world.ts'

/** What is hit: the daemon, the outermost process of an attempt, or the innermost one. */
export type Victim = 'daemon' | 'worker' | 'agent'

export type Blow =
  /** `starting`: that long after its start was asked for, whatever it has come to; else while it is at work. */
  | { what: 'kill'; whom: Victim; starting: boolean; afterMs: number }
  /** `twice`: told again at once, which is to end what is under way. */
  | { what: 'terminate'; whom: Victim; twice: boolean; afterMs: number }
  /** `thaws`: goes on after `forMs`; else the daemon is killed meanwhile. */
  | { what: 'freeze'; whom: Victim; thaws: boolean; afterMs: number; forMs: number }
  | { what: 'provider'; trouble: WireTrouble; times: number }
  /** `kills`: the daemon is killed while the disk is full, and started on it. */
  | { what: 'full disk'; kills: boolean; forMs: number }
  | { what: 'blackout'; forMs: number }

/** What can be done here beside ending processes. */
export type Powers = { disk: boolean; network: boolean; longMs: number | null }

/** Does it end, freeze or tell a process? These are counted; the rest makes it harder meanwhile. */
export const isKill = ({ what }: Blow): boolean => what === 'kill' || what === 'terminate' || what === 'freeze'

/** Blows without end. */
export function* dealBlows(seed: number, powers: Powers): Generator<Blow, never> {
  const chance = seededRandom(seed)
  let isFirst = true
  for (;;) {
    const blows = shuffle(deck(chance, powers), chance)
    if (isFirst && powers.network && powers.longMs !== null)
      blows.splice(Math.floor(chance() * blows.length), 0, { what: 'blackout', forMs: powers.longMs })
    isFirst = false
    yield* blows
  }
}

function deck(chance: () => number, { disk, network }: Powers): Blow[] {
  const upTo = (ms: number): number => Math.floor(chance() * ms)
  const many = (count: number, make: () => Blow): Blow[] => Array.from({ length: count }, make)
  return [
    ...many(5, () => ({ what: 'kill', whom: 'daemon', starting: true, afterMs: upTo(900) })),
    ...many(4, () => ({ what: 'kill', whom: 'daemon', starting: false, afterMs: upTo(600) })),
    ...many(2, () => ({ what: 'kill', whom: 'worker', starting: false, afterMs: upTo(200) })),
    ...many(2, () => ({ what: 'kill', whom: 'agent', starting: false, afterMs: upTo(200) })),
    { what: 'terminate', whom: 'daemon', twice: false, afterMs: upTo(400) },
    { what: 'terminate', whom: 'daemon', twice: true, afterMs: upTo(400) },
    { what: 'terminate', whom: 'worker', twice: false, afterMs: upTo(200) },
    { what: 'terminate', whom: 'agent', twice: false, afterMs: upTo(200) },
    { what: 'freeze', whom: 'daemon', thaws: true, afterMs: upTo(400), forMs: 300 + upTo(5000) },
    { what: 'freeze', whom: 'daemon', thaws: false, afterMs: upTo(400), forMs: 300 + upTo(1000) },
    { what: 'freeze', whom: 'worker', thaws: false, afterMs: upTo(200), forMs: 100 + upTo(500) },
    { what: 'freeze', whom: 'agent', thaws: true, afterMs: upTo(200), forMs: 300 + upTo(1500) },
    ...wireTroubles.map((trouble): Blow => ({ what: 'provider', trouble, times: 1 + upTo(2) })),
    ...(disk ? [{ what: 'full disk' as const, kills: chance() < 0.5, forMs: 500 + upTo(1500) }] : []),
    ...(network ? [{ what: 'blackout' as const, forMs: 1000 }] : []),
  ]
}

function shuffle<T>(cards: T[], chance: () => number): T[] {
  for (let left = cards.length - 1; left > 0; left--) {
    const other = Math.floor(chance() * (left + 1))
    ;[cards[left], cards[other]] = [cards[other]!, cards[left]!]
  }
  return cards
}

/** Under which word it is counted. */
export function nameOf(blow: Blow): string {
  switch (blow.what) {
    case 'kill':
      return `kill -9 of the ${blow.whom}${blow.whom !== 'daemon' ? '' : blow.starting ? ', starting' : ', at work'}`
    case 'terminate':
      return `SIGTERM to the ${blow.whom}${blow.twice ? ', twice' : ''}`
    case 'freeze':
      return `SIGSTOP to the ${blow.whom}${blow.thaws ? '' : ', then the daemon killed'}`
    case 'provider':
      return `provider: ${blow.trouble}`
    case 'full disk':
      return `disk full${blow.kills ? ', the daemon killed on it' : ''}`
    case 'blackout':
      return `network gone for ${blow.forMs / 1000} s`
  }
}
