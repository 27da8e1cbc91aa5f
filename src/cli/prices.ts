/** prices: what models cost, where each price is from and how old it is; `check` refuses what a budget could not hold. */
import type { ModelPrice } from '../core/price.ts'
import { ageOf, findPrice, priceNote, ratesFor, trustPrice, type FlatRates } from '../core/price.ts'
import { dayOf } from '../core/day.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { loadConfig } from '../host/config.ts'
import { nudge } from '../host/nudge.ts'
import { answer, type Act, type Context, type Said } from './context.ts'
import { table } from './format.ts'

export const prices: Act = async (context, said) => {
  const what = said.args[0] ?? 'list'
  if (what === 'set') return set(context, said)
  const loaded = await loadConfig({ file: context.paths.configFile, env: context.env })
  if (isRefusal(loaded)) return loaded
  const { pricesFor } = await import('../daemon/prices.ts')
  const known = pricesFor(loaded.settings)
  const today = dayOf(context.world.clock.now())
  const configured = [
    ...new Set(Object.values(loaded.settings.families).flatMap(({ models }) => Object.values(models))),
  ]
  if (what === 'explain') return explain(context, said, known, today)
  if (what === 'check') return check(context, configured, known, today)
  if (what === 'confirm') return confirm(context, said.flag('all') ? configured : said.args.slice(1, 2), known, today)
  const names = said.flag('all') || configured.length === 0 ? [...known.models.keys()].toSorted() : configured
  const rows = names.map((name) => ({ name, price: findPrice(known, name) }))
  const cells = rows.map(({ name, price }) =>
    isRefusal(price)
      ? [name, '-', '-', '-', '-', 'no price: it is refused']
      : [name, ...amounts(price, today), tellOrigin(known, price, today)],
  )
  return answer(
    context,
    { asOf: known.asOf, models: rows.map(({ name, price }) => asJson(name, price, today)) },
    `${table(['model', 'in', 'cached', 'written', 'out', 'from'], cells, context.columns)}\nDollars per million tokens.`,
  )
}

type Known = Parameters<typeof findPrice>[0]

const dollars = (nano: number): string => String(nano / 1e9)
const flat = (price: ModelPrice, today: string): FlatRates => ratesFor(price, today, 0)

function amounts(price: ModelPrice, today: string): string[] {
  const { input, cachedInput, cacheWrite, output } = flat(price, today)
  return [input, cachedInput, cacheWrite, output].map(dollars)
}

function tellOrigin({ mostDays }: Known, price: ModelPrice, today: string): string {
  if (price.origin === 'operator') return 'your settings'
  const from = price.origin === 'corrected' ? 'our corrections' : 'the bundled table'
  const age = ageOf(price, today)
  if (age === null) return `${from}; the provider is on this machine`
  return `${from}, ${price.asOf}${mostDays !== null && age > mostDays ? ` (${age} days old: too old)` : ''}`
}

const asJson = (name: string, price: ModelPrice | Refusal, today: string) =>
  isRefusal(price)
    ? { model: name, known: false }
    : {
        model: name,
        known: true,
        origin: price.origin,
        asOf: price.asOf,
        ageDays: ageOf(price, today),
        context: price.context,
        nanoUsdPerMillion: flat(price, today),
      }

function explain(context: Context, said: Said, known: Known, today: string): number | Refusal {
  const name = said.args[1]
  if (name === undefined) return refuse('no-model', 'say which model', 'tri-agent prices explain claude-opus-5-5')
  const price = findPrice(known, name)
  if (isRefusal(price)) return price
  const rates = flat(price, today)
  const tiers = [...new Set(price.periods.flatMap(({ rates: { input } }) => input.tiers.map(({ above }) => above)))]
  const lines = [
    `${name}${price.model === name ? '' : `, billed as ${price.model}`}: from ${tellOrigin(known, price, today)}`,
    `input ${dollars(rates.input)}, cached ${dollars(rates.cachedInput)}, written to a cache ${dollars(rates.cacheWrite)} (for an hour ${dollars(rates.cacheWriteHour)}), output ${dollars(rates.output)} dollars per million tokens`,
    ...tiers.map(
      (above) =>
        `above ${above} input tokens: input ${dollars(ratesFor(price, today, above + 1).input)}, output ${dollars(ratesFor(price, today, above + 1).output)}`,
    ),
    ...(rates.webSearch > 0
      ? [`a search by its provider itself, where providerTools lets it: ${dollars(rates.webSearch)} dollars`]
      : []),
    ...(price.context === null ? [] : [`context window ${price.context} tokens: the most its input is held for`]),
    'Names are matched exactly: a model that is not in the table has no price, and is refused.',
  ]
  return answer(context, asJson(name, price, today), lines.join('\n'))
}

/** Every configured model must have a price, and one that is not too old. */
function check(context: Context, configured: readonly string[], known: Known, today: string): number | Refusal {
  if (configured.length === 0)
    return refuse('no-family', 'no family is configured, so there is nothing to check', 'tri-agent init')
  const untrusted = configured.map((name) => trustPrice(known, name, today)).filter(isRefusal)
  const [first, ...more] = untrusted
  if (first && more.length === 0) return first
  if (first)
    return refuse(
      first.refused,
      untrusted.map(({ why }) => why).join('\n'),
      untrusted.every(({ refused }) => refused === 'price-old')
        ? 'tri-agent prices; where the vendors say the same: tri-agent prices confirm --all'
        : untrusted.map(({ hint }) => hint).join('\n'),
    )
  const notes = configured.flatMap((name) => priceNote(known, name, today) ?? [])
  return answer(
    context,
    { ok: true, models: configured, notes },
    [`All ${configured.length} configured models have a price that is not too old.`, ...notes].join('\n'),
  )
}

/** Prices in the table were compared with the vendors' today. All of it stays: what caches cost, tiers, what changes on a day. */
async function confirm(
  context: Context,
  names: readonly string[],
  known: Known,
  today: string,
): Promise<number | Refusal> {
  if (names.length === 0)
    return refuse('no-model', 'say which model, or --all', 'tri-agent prices confirm claude-opus-5-5')
  const found = names.map((name) => findPrice(known, name))
  const unknown = found.find(isRefusal)
  if (unknown) return unknown
  const aging = found.flatMap((price) => (isRefusal(price) || price.origin === 'operator' ? [] : [price]))
  if (aging.length === 0)
    return refuse('own-price', `the price of ${names.join(', ')} is one of your own settings, which do not age`)
  const { writeSetting } = await import('../host/setting-file.ts')
  const models = [...new Set(aging.map(({ model }) => model))]
  for (const model of models) {
    const written = await writeSetting(context.paths.configFile, ['prices', model], { checked: today })
    if (isRefusal(written)) return written
  }
  const [model] = models
  return answer(
    context,
    {
      ...(models.length === 1 ? { model } : {}),
      models,
      checked: today,
      daemonHeard: await nudge(context.paths.socket),
    },
    models
      .map((each) => `${each} costs what the table says, looked up ${today}, in ${context.paths.configFile}.`)
      .join('\n'),
  )
}

async function set(context: Context, said: Said): Promise<number | Refusal> {
  const name = said.args[1]
  const [input, output] = [said.text('input'), said.text('output')].map((written) => {
    const [, amount] = /^\$?(\d{1,6}(?:\.\d{1,9})?)$/.exec(written?.trim() ?? '') ?? [] // an empty variable of a script is no price of $0
    return amount === undefined ? null : Number(amount)
  })
  if (name === undefined || input === null || output === null)
    return refuse(
      'no-price',
      'say which model, and what a million tokens cost',
      'tri-agent prices set my-model --input 2.50 --output 10',
    )
  const { writeSetting } = await import('../host/setting-file.ts')
  const written = await writeSetting(context.paths.configFile, ['prices', name], { input, output })
  if (isRefusal(written)) return written
  return answer(
    context,
    { model: name, input, output, daemonHeard: await nudge(context.paths.socket) },
    `${name} costs $${input} in and $${output} out per million tokens, in ${context.paths.configFile}.`,
  )
}
