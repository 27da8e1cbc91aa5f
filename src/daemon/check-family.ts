/** What each configured family needs to work: a key, a program of a version that is known, and a price for each of its models. Never shows a key. */
import { locate, type Located } from '../agent/locate.ts'
import { adapterNamed } from '../agent/registry.ts'
import { judgeVersion } from '../agent/version.ts'
import { dayOf } from '../core/day.ts'
import { lack, ok, warn, type Check } from '../core/check.ts'
import { findPrice, priceNote, ratesFor, trustPrice, type PriceTable } from '../core/price.ts'
import { providerToolNames, type ProviderTools } from '../core/provider-tool.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { FamilySettings, OperatorSettings } from '../core/setting.ts'
import { priceTools } from '../gateway/provider-tool.ts'
import { readKey } from '../host/key.ts'
import type { Env } from '../host/path.ts'
import type { World } from '../host/world.ts'

export type FamilyPorts = {
  world: World
  env: Env
  /** The folder of `keys set`. */
  keys: string
  prices: PriceTable
  /** How a version that nobody tested did in its trial turn; null: it was not tried. */
  trial(family: string, settings: FamilySettings, located: Located): Promise<{ failed: string | null } | null>
}

/** Checks of all families, and which of them are whole. */
export async function examineFamilies(
  ports: FamilyPorts,
  { families, providerTools }: Pick<OperatorSettings, 'families' | 'providerTools'>,
): Promise<{ checks: Check[]; usable: string[] }> {
  const names = Object.keys(families)
  const checks: Check[] = []
  const usable: string[] = []
  for (const name of names) {
    const own = [
      await key(ports, name, families[name]!),
      await agent(ports, name, families[name]!),
      models(ports, name, families[name]!),
      ...tools(ports, name, families[name]!, providerTools[name] ?? {}),
    ]
    checks.push(...own)
    if (own.every(({ state }) => state !== 'missing')) usable.push(name)
  }
  return { checks: [count(names, usable), ...checks], usable }
}

/** numbers.md, row review: what so many families mean. */
function count(names: readonly string[], usable: readonly string[]): Check {
  const found = usable.length === 0 ? 'none is whole' : usable.join(', ')
  if (names.length === 0)
    return lack('families', 'none is configured', 'tri-agent keys set anthropic, then: tri-agent init')
  if (usable.length === 0) return lack('families', found, 'see what is missing below')
  if (usable.length === 1)
    return warn(
      'families',
      `${found}: nobody else can review it, so a person approves each landing`,
      'tri-agent keys set, for a second vendor',
    )
  return ok(
    'families',
    usable.length === 2 ? `${found}: one reviews the other, and a person approves each landing` : found,
  )
}

const missing = (name: string, { why, hint }: Refusal): Check => lack(name, why, hint ?? null)

async function key({ world, env, keys }: FamilyPorts, family: string, { keyFrom }: FamilySettings): Promise<Check> {
  const name = `key of ${family}`
  const read = await readKey(keyFrom, { world, env, folder: keys })
  const where =
    'env' in keyFrom
      ? `env ${keyFrom.env}`
      : 'file' in keyFrom
        ? `file ${keyFrom.file}`
        : 'stored' in keyFrom
          ? 'kept by keys set'
          : 'in the settings'
  if (!isRefusal(read)) return ok(name, where)
  return read.refused === 'key-missing' && 'env' in keyFrom
    ? lack(name, `${keyFrom.env} is not set, and none is kept`, `tri-agent keys set ${family}`)
    : missing(name, read)
}

async function agent(ports: FamilyPorts, family: string, settings: FamilySettings): Promise<Check> {
  const name = `agent of ${family}`
  const adapter = adapterNamed(settings.agent)
  const located = await locate(ports.world, adapter, settings.program, ports.env['PATH'] ?? '')
  if (isRefusal(located)) return missing(name, located)
  const { version } = located
  const found = `${settings.agent} ${version}`
  const { state, tested, oldest } = judgeVersion(settings.agent, version)
  if (state === 'tested') return ok(name, found)
  if (state === 'too-old')
    return lack(name, `${found} is too old, ${oldest} is the oldest that works`, `${adapter.program.install}@${tested}`)
  const trial = await ports.trial(family, settings, located)
  if (trial === null) return warn(name, `${found} is untested (tested: ${tested}); it is tried before its first use`)
  if (trial.failed === null) return warn(name, `${found} is untested (tested: ${tested}), and passed its trial turn`)
  return lack(
    name,
    `${found} is untested and failed its trial turn: ${trial.failed}`,
    `${adapter.program.install}@${tested}`,
  )
}

function models({ prices, world }: FamilyPorts, family: string, { models: named }: FamilySettings): Check {
  const name = `models of ${family}`
  const each = [...new Set(Object.values(named))]
  const unpriced = each.flatMap((model) => {
    const price = trustPrice(prices, model, dayOf(world.clock.now()))
    return isRefusal(price) ? [price] : []
  })
  if (unpriced[0]) return missing(name, unpriced[0])
  const aging = each.flatMap((model) => priceNote(prices, model, dayOf(world.clock.now())) ?? [])
  return aging[0] ? warn(name, aging.join('; ')) : ok(name, each.join(', '))
}

/** What the provider may do by itself has a price for each model, or the request that wants it would be refused. What it opens is said with the settings. */
function tools(
  { prices, world }: FamilyPorts,
  family: string,
  { models: named }: FamilySettings,
  allowed: ProviderTools,
): Check[] {
  if (Object.keys(allowed).length === 0) return []
  const name = `provider tools of ${family}`
  const day = dayOf(world.clock.now())
  const uses = providerToolNames.flatMap((tool) => (allowed[tool] ? [{ tool, uses: allowed[tool].uses }] : []))
  for (const model of new Set(Object.values(named))) {
    const price = findPrice(prices, model)
    const priced = isRefusal(price)
      ? []
      : priceTools({ model, passed: uses }, { family, tools: allowed }, ratesFor(price, day, 0))
    if (isRefusal(priced)) return [missing(name, priced)]
  }
  return [ok(name, Object.keys(allowed).join(', '))]
}
