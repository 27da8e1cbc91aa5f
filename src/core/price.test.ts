import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  costOf,
  findPrice,
  noTokens,
  priceNote,
  ratesFor,
  tokensFor,
  type ModelPrice,
  type PriceTable,
  type Rate,
} from './price.ts'

const flat = (base: number): Rate => ({ base, tiers: [] })

const opus: ModelPrice = {
  model: 'claude-opus-5-5',
  origin: 'bundled',
  asOf: '2026-09-23',
  context: 1_000_000,
  dated: true,
  periods: [
    {
      from: '',
      rates: {
        input: flat(4e9),
        cachedInput: flat(2e8),
        cacheWrite: flat(5e9),
        cacheWriteHour: flat(8e9),
        output: flat(20e9),
        webSearch: 10_000_000,
      },
    },
  ],
}
const tiered: ModelPrice = {
  ...opus,
  model: 'long',
  dated: false,
  periods: [
    {
      from: '',
      rates: {
        ...opus.periods[0]!.rates,
        input: { base: 2e9, tiers: [{ above: 272_000, rate: 4e9 }] },
        output: {
          base: 10e9,
          tiers: [
            { above: 272_000, rate: 15e9 },
            { above: 100, rate: 12e9 },
          ],
        },
      },
    },
    { from: '2027-01-01', rates: { ...opus.periods[0]!.rates, output: flat(99e9) } },
  ],
}
const table: PriceTable = {
  asOf: '2026-09-23',
  mostDays: null,
  models: new Map([
    ['claude-opus-5-5', opus],
    ['long', tiered],
  ]),
}
const day = '2026-11-24'

test('every kind of token bills at its own rate and the sum is whole nano-dollars', () => {
  const tokens = { input: 1, cachedInput: 10, cacheWrite: 100, cacheWriteHour: 1000, output: 10_000, webSearches: 2 }
  assert.equal(costOf(ratesFor(opus, day, 1111), tokens), 4000 + 2000 + 500_000 + 8_000_000 + 200_000_000 + 20_000_000)
  assert.equal(costOf({ ...ratesFor(opus, day, 1), input: 1 }, { input: 1 }), 1, 'rounded up, once')
})

test('crossing a tier dears the whole request, at the first token above it', () => {
  assert.equal(ratesFor(tiered, day, 272_000).input, 2e9)
  assert.equal(ratesFor(tiered, day, 272_001).input, 4e9)
  assert.equal(ratesFor(tiered, day, 272_001).output, 15e9)
  assert.equal(ratesFor(tiered, day, 101).output, 12e9)
})

test('a price announced for a day holds from that day on', () => {
  assert.equal(ratesFor(tiered, '2026-12-31', 1).output, 10e9)
  assert.equal(ratesFor(tiered, '2027-01-01', 1).output, 99e9)
})

test('a model without a price is refused with the line to add, and a longer name is another model', () => {
  assert.equal(findPrice(table, 'claude-opus-5-5'), opus)
  assert.equal(findPrice(table, 'claude-opus-5-5-20260901'), opus)
  for (const model of ['claude-opus-5-5-turbo', 'claude-opus-5', 'long-20260901', '', 'constructor']) {
    const refusal = findPrice(table, model)
    assert.ok('refused' in refusal && refusal.refused === 'price-unknown' && refusal.hint!.includes(model))
  }
})

test('a cost is never below the exact product and never a whole nano-dollar above it', () => {
  fc.assert(
    fc.property(fc.nat(2_000_000), fc.nat(2_000_000), (input, output) => {
      const cost = BigInt(costOf(ratesFor(opus, day, input), { input, output }))
      const exact = BigInt(input) * 4_000_000_000n + BigInt(output) * 20_000_000_000n
      assert.ok(cost * 1_000_000n >= exact && cost * 1_000_000n < exact + 1_000_000n)
    }),
  )
})

test('the tokens that fit into an amount cost no more than it, and one more would', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1e12 }), fc.integer({ min: 1000, max: 1e11 }), (nanoUsd, rate) => {
      const rates = { ...ratesFor(opus, day, 0), output: rate }
      const fit = tokensFor(nanoUsd, rate)
      assert.ok(costOf(rates, { ...noTokens, output: fit }) <= nanoUsd)
      assert.ok(BigInt(fit + 1) * BigInt(rate) > BigInt(nanoUsd) * 1_000_000n)
    }),
  )
})

test('a price is spoken of in the two weeks before it becomes too old, and from then on as one by which nothing is asked', () => {
  const table: PriceTable = { models: new Map([['claude-opus-5-5', opus]]), asOf: '2026-09-23', mostDays: 180 }
  const note = (day: string, from: PriceTable = table) => priceNote(from, 'claude-opus-5-5', day)
  assert.equal(note('2027-03-08'), null)
  assert.equal(
    note('2027-03-09'),
    'the price of claude-opus-5-5 was looked up 167 days ago (2026-09-23) and is refused after 180; where the vendor still says the same: tri-agent prices confirm claude-opus-5-5',
  )
  assert.match(note('2027-03-22')!, /180 days ago .* is refused after 180/)
  assert.match(
    note('2027-03-23')!,
    /^nothing is asked of claude-opus-5-5: the price .* 181 days ago \(2026-09-23\).*prices confirm claude-opus-5-5\)$/,
  )
  assert.equal(note('2030-01-01', { ...table, mostDays: null }), null)
  assert.match(priceNote(table, 'mystery-1', '2026-11-28')!, /^nothing is asked of mystery-1: no price is known/)
})
