import assert from 'node:assert/strict'
import test from 'node:test'
import { ageOf, findPrice, ratesFor, trustPrice } from '../core/price.ts'
import { isRefusal } from '../core/refusal.ts'
import { loadPrices } from './prices.ts'

const day = '2026-11-24'

test('the bundled table knows the tiers and cache rates of current models', () => {
  const table = loadPrices()
  const opus = findPrice(table, 'claude-opus-5-5')
  assert.ok(!('refused' in opus))
  assert.deepEqual(ratesFor(opus, day, 1), {
    input: 4e9,
    cachedInput: 2e8,
    cacheWrite: 5e9,
    cacheWriteHour: 8e9,
    output: 20e9,
    webSearch: 10_000_000,
  })
  const sol = findPrice(table, 'gpt-6-sol')
  assert.ok(!('refused' in sol))
  assert.equal(ratesFor(sol, day, 272_001).output, 15e9)
})

test('a name the table matches only by prefix has no price, a dated name of a known model has one', () => {
  const table = loadPrices()
  assert.ok('refused' in findPrice(table, 'claude-sonnet-5-5'))
  assert.ok(!('refused' in findPrice(table, 'claude-haiku-4-5-20251001')))
})

test('no model in the table is free, and one that paints or embeds is not in it', () => {
  const table = loadPrices()
  assert.ok(table.models.size > 100)
  for (const [name, price] of table.models)
    for (const { rates } of price.periods)
      if (!/free|flash-live/.test(name)) assert.ok(rates.input.base > 0 && rates.output.base > 0, name)
  for (const name of ['gemini-2.5-flash-image', 'text-embedding-3-small', 'gemma-3'])
    assert.ok('refused' in findPrice(table, name), name)
})

test('what the operator writes wins over the bundle, and missing kinds are filled with a dearer one', () => {
  const table = loadPrices({
    'claude-opus-5-5': { input: 1.5, output: 3 },
    'claude-new': { input: 2, output: 10, cacheWrite: 2 },
    'gpt-new': { input: 2, output: 10 },
    'my-model': { input: 0.0028, output: 1 },
  })
  const own = findPrice(table, 'claude-opus-5-5')
  assert.ok(!('refused' in own))
  assert.deepEqual(ratesFor(own, day, 1), {
    input: 1_500_000_000,
    cachedInput: 1_500_000_000,
    cacheWrite: 1_875_000_000,
    cacheWriteHour: 3_000_000_000,
    output: 3_000_000_000,
    webSearch: 0,
  })
  const mine = findPrice(table, 'my-model')
  assert.ok(!('refused' in mine))
  assert.deepEqual([ratesFor(mine, day, 1).input, ratesFor(mine, day, 1).cacheWrite], [2_800_000, 2_800_000])
  const written = ['claude-new', 'gpt-new'].map((name) => {
    const price = findPrice(table, name)
    return isRefusal(price) ? price : ratesFor(price, day, 1).cacheWrite
  })
  assert.deepEqual(written, [2_000_000_000, 2_500_000_000], 'as said, or as these two bill it')
})

test('a price is trusted for as long as one says, from the day on which it was last found to be right', () => {
  const confirmed = new Map([
    ['gpt-5.5', '2026-12-24'],
    ['claude-opus-5-5', '2026-01-01'], // known better
    ['gemini-3.8-flash', null],
    ['nobody-knows', '2026-12-24'],
  ])
  const table = loadPrices({ mine: { input: 1, output: 2 } }, { confirmed, mostDays: 45 })
  const on = (model: string, at: string) => {
    const price = trustPrice(table, model, at)
    return 'refused' in price ? price.refused : ageOf(price, at)
  }
  assert.deepEqual(
    [
      ['gpt-5.5', '2027-02-07'],
      ['gpt-5.5', '2027-02-08'],
      ['claude-opus-5-5', '2026-11-30'],
      ['claude-opus-5-5', '2027-01-13'],
      ['gpt-5.4', '2026-11-30'],
      ['gemini-3.8-flash', '2030-01-01'],
      ['mine', '2030-01-01'],
      ['nobody-knows', '2026-12-24'],
    ].map(([model, at]) => on(model!, at!)),
    [45, 'price-old', 7, 'price-old', 'price-old', null, null, 'price-unknown'],
  )
  const whole = findPrice(table, 'gpt-5.5')
  assert.ok(!('refused' in whole))
  assert.deepEqual(whole, { ...findPrice(loadPrices(), 'gpt-5.5'), asOf: '2026-12-24' }, 'and all else of it stays')
})
