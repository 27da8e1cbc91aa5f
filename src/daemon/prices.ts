/** What the operator's settings say of models: their prices over the bundled ones, and the family of those whose name does not tell. */
import { familyOf } from '../core/family.ts'
import type { PriceTable } from '../core/price.ts'
import type { OperatorSettings, PriceRow } from '../core/setting.ts'
import { loadPrices, type PriceEntry } from '../gateway/prices.ts'

/** The price table in force, read when the first price is asked for: a daemon that starts has none to ask yet. */
export function pricesFor({ prices }: Pick<OperatorSettings, 'prices'>): PriceTable {
  let table: PriceTable | undefined
  const read = () => (table ??= loadPrices(Object.fromEntries(prices.map((row) => [row.model, entryOf(row)]))))
  return {
    get models() {
      return read().models
    },
    get asOf() {
      return read().asOf
    },
  }
}

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
