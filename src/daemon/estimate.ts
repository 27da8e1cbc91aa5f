/** An estimate of a task's cost on this machine: done tasks of its size in its repository, else the prices of the models that would take part. */
import { dayOf } from '../core/day.ts'
import { estimate, type Estimate, usualTokens } from '../core/estimate.ts'
import { costOf, findPrice, noTokens, ratesFor } from '../core/price.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { reviewPolicy } from '../core/review.ts'
import { route, type RoutedTask } from '../core/routing.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { pricesFor } from './prices.ts'

/** A reviewer reads the change and its surroundings once; about a third of what was read to make it. */
const reviewerShare = 1 / 3

/** The range for a task; `history` are the costs of done tasks of its size. Refuses `no-family`, and what `findPrice` does for a model without a price. */
export function estimateTask(
  settings: OperatorSettings,
  task: RoutedTask,
  history: readonly number[],
  now: number,
): (Estimate & { implementer: string; reviewers: string[] }) | Refusal {
  const { families } = settings
  const usable = Object.keys(families)
  const author = route(task, 'implementer', usable).family
  if (author === null) return refuse('no-family', 'no family is configured, so nothing can be priced', 'tri-agent init')
  const reviewers = reviewPolicy({ author, usable, kind: task.kind, protectedPaths: [] }).families
  const prices = pricesFor(settings)
  const tokens = usualTokens[task.size]
  let usual = 0
  for (const [model, share] of [
    [families[author]!.models.implementer, 1],
    ...reviewers.map((family) => [families[family]!.models.reviewer, reviewerShare] as const),
  ] as const) {
    const price = findPrice(prices, model) // an old one tells enough: nothing is spent by it
    if (isRefusal(price)) return price
    const rates = ratesFor(price, dayOf(now), tokens.input)
    usual += costOf(rates, { ...noTokens, ...tokens }) * share
  }
  return { ...estimate(history, Math.round(usual)), implementer: author, reviewers: [...reviewers] }
}
