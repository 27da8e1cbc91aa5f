/**
 * What tokens cost. Money is whole nano-dollars; a rate is nano-dollars per million tokens, so that $0.0028 per million is still a whole number.
 *
 * Pure: the table is handed in. A model that is not in it has no price, and what has no price is refused, never counted as $0.
 */
import { numberOf } from './day.ts'
import { isRefusal, refuse, type Refusal } from './refusal.ts'

/** Above this many input tokens in all (cached ones too) the whole request is billed at `rate`. */
export type Tier = { above: number; rate: number }
export type Rate = { base: number; tiers: readonly Tier[] }

/** What a model bills by. A kind the vendor does not list is filled with a dearer one, so that an estimate is never below the bill. */
export type Rates = {
  input: Rate
  cachedInput: Rate
  cacheWrite: Rate
  cacheWriteHour: Rate
  output: Rate
  /** Nano-dollars for each search the provider makes on its own. */
  webSearch: number
}

export type ModelPrice = {
  model: string
  /** Where it is from: the bundled table, our own dated corrections of it, or the operator's file. */
  origin: 'bundled' | 'corrected' | 'operator'
  /** The day it was last looked up; null: the operator answers for it. */
  asOf: string | null
  /** Tokens; null where the table does not know. */
  context: number | null
  /** True when the vendor's dated names (`model-20260901`) bill as this one. */
  dated: boolean
  /** Oldest first; the last one whose `from` (a day, `2026-11-24`; empty: always) is not after today holds. */
  periods: readonly { from: string; rates: Rates }[]
}

/** `asOf`: the day the bundled prices were looked up. `mostDays`: a price looked up longer ago is too old; null: none is. */
export type PriceTable = { models: ReadonlyMap<string, ModelPrice>; asOf: string; mostDays: number | null }

/** Tokens as they bill: the kinds do not overlap, and their sum is everything. `output` has hidden reasoning in it. */
export type Tokens = {
  input: number
  cachedInput: number
  /** Written for minutes. */
  cacheWrite: number
  /** Written for an hour, which costs more. */
  cacheWriteHour: number
  output: number
  webSearches: number
}

/** Rates for one request: the tier is chosen. Nano-dollars per million tokens. */
export type FlatRates = Record<
  'input' | 'cachedInput' | 'cacheWrite' | 'cacheWriteHour' | 'output' | 'webSearch',
  number
>

export const noTokens: Tokens = {
  input: 0,
  cachedInput: 0,
  cacheWrite: 0,
  cacheWriteHour: 0,
  output: 0,
  webSearches: 0,
}

const snapshot = /^(.+)-(?:\d{8}|\d{4}-\d{2}-\d{2})$/

/** The price of a model by its exact name, or by the name without its release date where the table says those bill alike. Refuses: `price-unknown`. */
export function findPrice(table: PriceTable, model: string): ModelPrice | Refusal {
  const exact = table.models.get(model)
  if (exact) return exact
  const base = table.models.get(snapshot.exec(model)?.[1] ?? '')
  if (base?.dated) return base
  return refuse(
    'price-unknown',
    `no price is known for model ${model}, so it cannot be used within a budget`,
    `tri-agent prices set ${model} --input USD --output USD (dollars per million tokens)`,
  )
}

/** Days since it was last looked up; null: the operator answers for it. */
export const ageOf = ({ asOf }: ModelPrice, day: string): number | null =>
  asOf === null ? null : numberOf(day) - numberOf(asOf)

/** The same for what is to be spent by it: a price may not be too old either. Refuses: `price-unknown`, `price-old`. */
export function trustPrice(table: PriceTable, model: string, day: string): ModelPrice | Refusal {
  const price = findPrice(table, model)
  if (isRefusal(price)) return price
  const age = ageOf(price, day)
  if (age === null || table.mostDays === null || age <= table.mostDays) return price
  return refuse(
    'price-old',
    `the price of ${model} was looked up ${age} days ago (${price.asOf}), and prices change`,
    `tri-agent prices explain ${model}; where the vendor says the same: tri-agent prices confirm ${model}`,
  )
}

/** So many days before it becomes too old a price is spoken of, so that nobody is stopped by it unprepared. */
const noticeDays = 14

/** What a person should know of a model's price: it has none, it is too old, or it soon will be. Null: nothing. */
export function priceNote(table: PriceTable, model: string, day: string): string | null {
  const price = trustPrice(table, model, day)
  if (isRefusal(price)) return `nothing is asked of ${model}: ${price.why} (${price.hint})`
  const age = ageOf(price, day)
  if (age === null || table.mostDays === null || age <= table.mostDays - noticeDays) return null
  return `the price of ${model} was looked up ${age} days ago (${price.asOf}) and is refused after ${table.mostDays}; where the vendor still says the same: tri-agent prices confirm ${model}`
}

/** Whether any price that was looked up on `asOf` may have to be spoken of. */
export const isNoteworthy = (asOf: string, mostDays: number, day: string): boolean =>
  numberOf(day) - numberOf(asOf) > mostDays - noticeDays

/** The rates that hold on `day` for a request with `totalInput` tokens of input, cached ones included. */
export function ratesFor(price: ModelPrice, day: string, totalInput: number): FlatRates {
  const period = price.periods.findLast(({ from }) => from <= day) ?? price.periods[0]
  if (!period) throw new Error(`price of ${price.model} has no period`)
  const { input, cachedInput, cacheWrite, cacheWriteHour, output, webSearch } = period.rates
  return {
    input: flat(input, totalInput),
    cachedInput: flat(cachedInput, totalInput),
    cacheWrite: flat(cacheWrite, totalInput),
    cacheWriteHour: flat(cacheWriteHour, totalInput),
    output: flat(output, totalInput),
    webSearch,
  }
}

const flat = (rate: Rate, totalInput: number): number =>
  rate.tiers
    .filter(({ above }) => totalInput > above)
    .reduce<Tier>((best, tier) => (tier.above >= best.above ? tier : best), { above: -1, rate: rate.base }).rate

/** Input tokens of every kind: what chooses the tier. */
export const totalInput = (tokens: Tokens): number =>
  tokens.input + tokens.cachedInput + tokens.cacheWrite + tokens.cacheWriteHour

/** Nano-dollars, rounded up once. BigInt inside: a million tokens times a rate is beyond 2^53. */
export function costOf(rates: FlatRates, tokens: Partial<Tokens>): number {
  const kinds = ['input', 'cachedInput', 'cacheWrite', 'cacheWriteHour', 'output'] as const
  const scaled = kinds.reduce((sum, kind) => sum + BigInt(Math.ceil(tokens[kind] ?? 0)) * BigInt(rates[kind]), 0n)
  return Number((scaled + 999_999n) / 1_000_000n) + (tokens.webSearches ?? 0) * rates.webSearch
}

/** How many tokens at `rate` fit into `nanoUsd`, rounded down. */
export function tokensFor(nanoUsd: number, rate: number): number {
  if (nanoUsd <= 0) return 0
  if (rate <= 0) return Number.MAX_SAFE_INTEGER
  return Math.min(Number.MAX_SAFE_INTEGER, Number((BigInt(Math.floor(nanoUsd)) * 1_000_000n) / BigInt(rate)))
}

/** Both, kind by kind. */
export const addTokens = (a: Tokens, b: Tokens): Tokens => ({
  input: a.input + b.input,
  cachedInput: a.cachedInput + b.cachedInput,
  cacheWrite: a.cacheWrite + b.cacheWrite,
  cacheWriteHour: a.cacheWriteHour + b.cacheWriteHour,
  output: a.output + b.output,
  webSearches: a.webSearches + b.webSearches,
})
