/** What the operator's settings say of models: their prices over the bundled ones, and the family of those whose name does not tell. */
import { familyOf } from '../core/family.ts'
import type { PriceTable } from '../core/price.ts'
import type { OperatorSettings, PriceRow } from '../core/setting.ts'
import { loadPrices, type PriceEntry } from '../gateway/prices.ts'

type Said = Pick<OperatorSettings, 'prices' | 'priceChecks' | 'families' | 'money'>

const dayMs = 86_400_000

/** The price table in force, read when the first price is asked for: a daemon that starts has none to ask yet. */
export function pricesFor(settings: Said): PriceTable {
  let table: { prices: PriceTable; from: Said['prices'] } | undefined
  const read = (): PriceTable => {
    if (table?.from !== settings.prices) table = { prices: tableOf(settings), from: settings.prices } // other ones: the file has changed
    return table.prices
  }
  return {
    get mostDays() {
      return Math.floor(settings.money.priceAgeMs / dayMs)
    },
    get models() {
      return read().models
    },
    get asOf() {
      return read().asOf
    },
  }
}

const tableOf = ({ prices, priceChecks, families }: Said): PriceTable =>
  loadPrices(Object.fromEntries(prices.map((row) => [row.model, entryOf(row)])), {
    confirmed: new Map([...priceChecks.map(({ model, on }) => [model, on] as const), ...unbilled(families)]),
    mostDays: null,
  })

/** Where the key itself stands in the settings, the provider is a program on this machine that bills nobody: what its models cost does not age. */
const unbilled = (families: OperatorSettings['families']) =>
  Object.values(families).flatMap(({ keyFrom, models }) =>
    'value' in keyFrom ? Object.values(models).map((model) => [model, null] as const) : [],
  )

const entryOf = (row: PriceRow): PriceEntry => ({
  input: row.inputPerMtokUsd,
  output: row.outputPerMtokUsd,
  ...(row.cachedInputPerMtokUsd === undefined ? {} : { cachedInput: row.cachedInputPerMtokUsd }),
  ...(row.cacheWritePerMtokUsd === undefined ? {} : { cacheWrite: row.cacheWritePerMtokUsd }),
})

/** Models of families whose names do not tell: what the operator configured under that family. */
export function otherFamilies({ families }: Pick<OperatorSettings, 'families'>): Record<string, string> {
  const named = Object.entries(families).flatMap(([family, { models }]) =>
    Object.values(models).map((model) => [model, family] as const),
  )
  return Object.fromEntries(named.filter(([model, family]) => familyOf(model) === null && family !== ''))
}
