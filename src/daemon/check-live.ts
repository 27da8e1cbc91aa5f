/**
 * doctor --live: each configured model is asked for one token, really. Says whether the key is valid, the model there and priced, what the account may
 * do in a minute and how many agents that feeds, and what asking cost.
 */
import { lack, ok, warn, type Check } from '../core/check.ts'
import { showUsd } from '../core/quantity.ts'
import { isRefusal } from '../core/refusal.ts'
import type { FamilySettings, OperatorSettings } from '../core/setting.ts'
import { rateLimitsIn, showLimits, slotsFor } from '../core/tier.ts'
import { explainRefusal, type Meaning } from '../core/vendor-refusal.ts'
import { proxyEnvOf } from '../gateway/proxy.ts'
import { tryModel, type TrialAnswer } from '../gateway/trial.ts'
import { readKey } from '../host/key.ts'
import type { Env } from '../host/path.ts'
import type { World } from '../host/world.ts'
import { upstreamOf } from './agents.ts'
import { otherFamilies, pricesFor } from './prices.ts'

export type LivePorts = { world: World; env: Env; keys: string; settings: OperatorSettings }

/** One check per model of each family whose key can be read; the others are missed already. */
export async function examineLive(ports: LivePorts): Promise<Check[]> {
  const families = Object.entries(ports.settings.families)
  return (await Promise.all(families.map(([family, settings]) => examineFamily(ports, family, settings)))).flat()
}

async function examineFamily(
  ports: LivePorts,
  family: string,
  { keyFrom, models, ...asked }: FamilySettings,
): Promise<Check[]> {
  const { world, env, keys, settings } = ports
  const read = await readKey(keyFrom, { world, env, folder: keys })
  if (isRefusal(read)) return []
  const upstream = upstreamOf(family, asked, read.key)
  const shared = {
    world,
    upstream,
    prices: pricesFor(settings),
    families: otherFamilies(settings),
    proxy: proxyEnvOf(env),
  }
  const checks: Check[] = []
  for (const model of new Set(Object.values(models)))
    checks.push(judge(family, model, settings, await tryModel({ ...shared, model })))
  return checks
}

/** What passes by itself, or has nothing to do with how this machine is set up. */
const passing: readonly Meaning[] = ['rate-limited', 'overloaded']

function judge(family: string, model: string, { slots }: OperatorSettings, answer: TrialAnswer): Check {
  const name = `live ${family}`
  const { status, headers, text, costNanoUsd, ms } = answer
  const cost = `cost ${showUsd(costNanoUsd)}`
  if (status !== 200) {
    const told = explainRefusal({ family, status, text }, model)
    const answered = status === null ? '' : ` (it answered ${status})`
    if (told === null)
      return lack(
        name,
        `${model}: no answer that could be understood${answered}`,
        `check families.${family}.baseUrl: tri-agent config show`,
      )
    const found = `${model}: ${told.what}${answered}: ${told.why}`
    return passing.includes(told.means) ? warn(name, found, told.next) : lack(name, found, told.next)
  }
  const found = `${model} answered in ${(ms / 1000).toFixed(1)} s, ${cost}`
  const limits = rateLimitsIn(headers)
  if (limits === null) return ok(name, `${found}; it does not say its limits`)
  const fits = slotsFor(family, limits)
  const wanted = slots.implementer + slots.reviewer + slots.architect
  const said = `${found}; ${showLimits(family, limits)}`
  if (fits >= wanted) return ok(name, `${said}: feeds ${fits} agents at once`)
  return warn(
    name,
    `${said}: feeds ${fits === 0 ? 'not even one busy agent' : `${fits} at once`}, ${wanted} slots are set`,
    `slots: { implementer: 1, reviewer: 1, architect: 1 } in your settings, or ask the provider for a higher limit`,
  )
}
