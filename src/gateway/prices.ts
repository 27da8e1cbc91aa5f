/**
 * The price table the gateway works with: the bundled one of @pydantic/genai-prices, and over it what the operator's config says.
 *
 * Names are matched exactly. The bundled data also matches by prefix, which would price a model released tomorrow as its predecessor; only the
 * rules in it that name one model, or one model with a release date, are taken over. It never asks the network.
 */
import { findProvider, type MatchLogic, type ModelInfo, type ModelPrice as BundledPrice } from '@pydantic/genai-prices'
import { familyOf } from '../core/family.ts'
import type { ModelPrice, PriceTable, Rate, Rates } from '../core/price.ts'
import { bundledAsOf, corrections } from './price-correction.ts'

/** One model as an operator writes it: US dollars per million tokens. */
export type PriceEntry = {
  input: number
  output: number
  cachedInput?: number
  cacheWrite?: number
  cacheWriteHour?: number
  /** Dollars for a thousand searches made by the provider. */
  webSearches?: number
  /** Tokens. */
  context?: number
  /** Above so many input tokens the whole request costs this. */
  above?: { tokens: number; input: number; output: number; cachedInput?: number; cacheWrite?: number }
}

/** Providers whose own list prices are taken; a reseller's price for the same name is not the price. */
export const providers = [
  'anthropic',
  'openai',
  'google',
  'x-ai',
  'deepseek',
  'mistral',
  'moonshotai',
  'zai',
  'minimax',
  'cohere',
]

/** What the operator says of prices beside the prices themselves. */
export type Trust = {
  /** Model → the day on which somebody found its price to be right; null: for ever. */
  confirmed: ReadonlyMap<string, string | null>
  mostDays: number | null
}

/** Builds the table. `overlay` wins over the bundled prices. */
export function loadPrices(
  overlay: Readonly<Record<string, PriceEntry>> = {},
  { confirmed, mostDays }: Trust = { confirmed: new Map(), mostDays: null },
): PriceTable {
  const models = new Map<string, ModelPrice>()
  for (const id of providers)
    for (const model of (findProvider({ providerId: id })?.models ?? []).filter(isText))
      for (const name of namesOf(model)) if (!models.has(name)) models.set(name, bundled(name, model))
  for (const [name, entry] of Object.entries(corrections.models))
    models.set(name, {
      ...written(name, entry),
      origin: 'corrected',
      asOf: corrections.asOf,
      dated: models.get(name)?.dated ?? false,
    })
  for (const [name, day] of confirmed) confirm(models, name, day)
  for (const [name, entry] of Object.entries(overlay)) models.set(name, written(name, entry))
  return { models, asOf: bundledAsOf, mostDays }
}

/** Its price was looked at again and is what it was. A name with a release date bills as the one without. */
function confirm(models: Map<string, ModelPrice>, name: string, day: string | null): void {
  const price = models.get(name)
  if (price)
    models.set(name, { ...price, asOf: day === null || (price.asOf !== null && price.asOf < day) ? day : price.asOf })
}

/** Only models whose every token has a price here: an embedding has no output price, and a picture costs more than its text rate says. */
const isText = ({ prices }: ModelInfo): boolean =>
  (Array.isArray(prices) ? prices.map((each) => each.prices) : [prices]).every(
    (each) =>
      each['input_mtok'] !== undefined &&
      each['output_mtok'] !== undefined &&
      Object.keys(each).every((key) => !/^output_(?!mtok)/.test(key)),
  )

const namesOf = (model: ModelInfo): string[] => [model.id, ...equals(model.match)]

function equals(match: MatchLogic): string[] {
  if ('equals' in match) return [match.equals]
  return 'or' in match ? match.or.flatMap(equals) : []
}

function bundled(name: string, model: ModelInfo): ModelPrice {
  return {
    model: name,
    origin: 'bundled',
    asOf: bundledAsOf,
    context: model.context_window ?? null,
    dated: matches(model.match, `${name}-20990101`) || matches(model.match, `${name}-2099-01-01`),
    periods: periodsOf(model.prices),
  }
}

function periodsOf(prices: ModelInfo['prices']): ModelPrice['periods'] {
  if (!Array.isArray(prices)) return [{ from: '', rates: ratesOf([prices]) }]
  const hourly = prices.filter(({ constraint }) => constraint?.type === 'time_of_date').map((each) => each.prices)
  return prices
    .flatMap(({ constraint, prices: own }) => {
      if (constraint?.type === 'time_of_date') return []
      const from = constraint?.start_date.slice(0, 10) ?? ''
      return [{ from, rates: ratesOf([own, ...hourly]) }] // by the hour: the dearest hour, because a request may end in it
    })
    .toSorted((a, b) => (a.from < b.from ? -1 : 1))
}

function ratesOf(variants: readonly BundledPrice[]): Rates {
  const of = (key: string) =>
    dearest(variants.flatMap((prices) => (prices[key] === undefined ? [] : [rateOf(prices[key])])))
  const input = of('input_mtok') ?? free
  const cacheWrite = of('cache_write_mtok') ?? input
  const search = variants.map(({ web_searches_kcount: price }) => (typeof price === 'number' ? price : 0))
  return {
    input,
    cachedInput: of('cache_read_mtok') ?? input,
    cacheWrite,
    cacheWriteHour: of('cache_write_1h_mtok') ?? scale(cacheWrite, 2),
    output: of('output_mtok') ?? free,
    webSearch: Math.round(Math.max(...search) * 1e6),
  }
}

const free: Rate = { base: 0, tiers: [] }
const nano = (usdPerMillion: number): number => Math.ceil(usdPerMillion * 1e9 - 1e-3)
const scale = ({ base, tiers }: Rate, by: number): Rate => ({
  base: base * by,
  tiers: tiers.map(({ above, rate }) => ({ above, rate: rate * by })),
})

const rateOf = (price: NonNullable<BundledPrice[string]>): Rate =>
  typeof price === 'number'
    ? { base: nano(price), tiers: [] }
    : {
        base: nano(price.base),
        tiers: price.tiers.map(({ start, price: rate }) => ({ above: start, rate: nano(rate) })),
      }

const dearest = (rates: readonly Rate[]): Rate | undefined => rates.toSorted((a, b) => b.base - a.base)[0]

/** What is written to a cache costs a quarter more than other input there, also where nobody says so. */
const writesDearer = ['anthropic', 'openai']

function written(name: string, entry: PriceEntry): ModelPrice {
  const { above } = entry
  const rate = (usd: number, dear?: number): Rate => ({
    base: nano(usd),
    tiers: above && dear !== undefined ? [{ above: above.tokens, rate: nano(dear) }] : [],
  })
  const more = writesDearer.includes(familyOf(name) ?? '') ? 1.25 : 1
  const writes = (factor: number): Rate =>
    rate(entry.cacheWrite ?? factor * entry.input, above && (above.cacheWrite ?? factor * above.input))
  const rates: Rates = {
    input: rate(entry.input, above?.input),
    cachedInput: rate(entry.cachedInput ?? entry.input, above && (above.cachedInput ?? above.input)),
    cacheWrite: writes(more),
    cacheWriteHour: entry.cacheWriteHour === undefined ? scale(writes(1), 2) : rate(entry.cacheWriteHour),
    output: rate(entry.output, above?.output),
    webSearch: Math.round((entry.webSearches ?? 0) * 1e6),
  }
  return {
    model: name,
    origin: 'operator',
    asOf: null,
    context: entry.context ?? null,
    dated: false,
    periods: [{ from: '', rates }],
  }
}

function matches(match: MatchLogic, name: string): boolean {
  if ('or' in match) return match.or.some((each) => matches(each, name))
  if ('and' in match) return match.and.every((each) => matches(each, name))
  if ('equals' in match) return match.equals === name
  if ('starts_with' in match) return name.startsWith(match.starts_with)
  if ('ends_with' in match) return name.endsWith(match.ends_with)
  if ('contains' in match) return name.includes(match.contains)
  return new RegExp(match.regex).test(name)
}
