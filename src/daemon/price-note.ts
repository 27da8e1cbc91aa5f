/** What `up` says of prices that are too old, or soon will be. The table itself is read only where the date says that there may be something to say. */
import { dayOf } from '../core/day.ts'
import { isNoteworthy, priceNote } from '../core/price.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { bundledAsOf } from '../gateway/price-correction.ts'
import type { World } from '../host/world.ts'

const dayMs = 86_400_000

/** One sentence for each configured model of which there is something to say. */
export async function notesOnPrices({ clock }: Pick<World, 'clock'>, settings: OperatorSettings): Promise<string[]> {
  const day = dayOf(clock.now())
  if (!isNoteworthy(bundledAsOf, Math.floor(settings.money.priceAgeMs / dayMs), day)) return []
  const { pricesFor } = await import('./prices.ts')
  const prices = pricesFor(settings)
  const models = new Set(Object.values(settings.families).flatMap(({ models: named }) => Object.values(named)))
  return [...models].flatMap((model) => priceNote(prices, model, day) ?? [])
}
