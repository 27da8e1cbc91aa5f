/** The blows of chaos: the same seed deals the same, another one does not, every kind is dealt within a deck, and nothing is dealt that cannot be done. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dealBlows, isKill, nameOf, type Blow, type Powers } from './chaos-blow.ts'

const all: Powers = { disk: true, network: true, longMs: null }
const none: Powers = { disk: false, network: false, longMs: null }

function deal(seed: number, powers: Powers, count: number): Blow[] {
  const blows = dealBlows(seed, powers)
  return Array.from({ length: count }, () => blows.next().value)
}

test('a seed deals the same blows in the same order, another seed others', () => {
  assert.deepEqual(deal(7, all, 200), deal(7, all, 200))
  assert.notDeepEqual(deal(7, all, 200), deal(8, all, 200))
})

test('within one deck every victim is killed, told to end and frozen, and everything around them fails in each of its ways', () => {
  const deck = deal(3, all, 29)
  const met = deck.flatMap((blow) => ('whom' in blow ? [`${blow.what} ${blow.whom}`] : []))
  const wanted = ['kill', 'terminate', 'freeze'].flatMap((what) =>
    ['daemon', 'worker', 'agent'].map((whom) => `${what} ${whom}`),
  )
  assert.deepEqual(new Set(met), new Set(wanted))
  assert.equal(deck.filter(isKill).length, 21)
  const around = deck
    .filter((blow) => !isKill(blow))
    .map((blow) => nameOf(blow).replace(', the daemon killed on it', ''))
  const troubles = ['refuse', 'reset', 'hang', '429', '500', '529'].map((trouble) => `provider: ${trouble}`)
  assert.deepEqual(around.toSorted(), ['disk full', 'network gone for 1 s', ...troubles].toSorted())
})

test('what cannot be done here is not dealt; a long time without a network is, once', () => {
  const dealt = deal(5, none, 100).map(({ what }) => what)
  assert.ok(!dealt.includes('full disk') && !dealt.includes('blackout'))
  const long = deal(5, { ...all, longMs: 300_000 }, 300).filter(
    (blow) => blow.what === 'blackout' && blow.forMs === 300_000,
  )
  assert.equal(long.length, 1)
})
