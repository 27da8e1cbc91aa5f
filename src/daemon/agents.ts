/** Which of the configured families can start: an adapter, a program and a key. What cannot is named with what would mend it. */
import type { AgentAdapter } from '../agent/agent.ts'
import { locate, type Located } from '../agent/locate.ts'
import { adapterNamed } from '../agent/registry.ts'
import { judgeVersion } from '../agent/version.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import type { FamilySettings, OperatorSettings } from '../core/setting.ts'
import type { Upstream } from '../gateway/gateway.ts'
import { readKey } from '../host/key.ts'
import type { World } from '../host/world.ts'
import { liveKeys, type LiveKeys } from './live-keys.ts'

type Found = { adapter: AgentAdapter; folder: string; argv: readonly string[]; version: string }

export type FoundAgents = {
  get(name: string): Found | undefined
  size: number
  /** Families that can start. */
  usable: readonly string[]
  upstreams: readonly Upstream[]
  /** The real keys; never for an environment. */
  keys: LiveKeys
}

/** Looks for each configured family's agent and key (`keys`: the folder of `keys set`; `versions`: as in locate). `missing` says, a sentence each, what cannot start and why. */
export async function findAgents(
  world: World,
  settings: OperatorSettings,
  env: Readonly<Record<string, string | undefined>>,
  keys: string,
  trial: (family: string, settings: FamilySettings, located: Located) => Promise<{ failed: string | null }>,
  versions?: string,
): Promise<{ agents: FoundAgents; missing: string[] }> {
  const found = new Map<string, Found>()
  const usable: string[] = []
  const upstreams: Upstream[] = []
  const live = liveKeys({ world, env, folder: keys })
  const missing: string[] = []
  const looked = Object.entries(settings.families).map(async ([family, { agent, program, keyFrom }]) => {
    const held = await readKey(keyFrom, { world, env, folder: keys })
    if (isRefusal(held)) return { family, held, located: held }
    return {
      family,
      held,
      located: await locate(world, adapterNamed(agent), program, env['PATH'] ?? '', undefined, versions),
    }
  })
  for (const { family, held, located } of await Promise.all(looked)) {
    // some take seconds to tell their version
    const { agent, ...asked } = settings.families[family]!
    if (isRefusal(held)) {
      missing.push(sayMissing(family, held))
      continue
    }
    const { key } = held
    if (isRefusal(located)) {
      missing.push(sayMissing(family, located))
      continue
    }
    const unfit = await judge(agent, located, () => trial(family, settings.families[family]!, located))
    if (unfit) {
      missing.push(sayMissing(family, unfit))
      continue
    }
    found.set(family, { adapter: adapterNamed(agent), ...located })
    usable.push(family)
    const tools = settings.providerTools[family] ?? {}
    upstreams.push({ ...upstreamOf(family, asked, key), ...live.take(family, asked.keyFrom, key), tools })
  }
  await live.look()
  return { agents: { get: (name) => found.get(name), size: found.size, usable, upstreams, keys: live }, missing }
}

/** Where and how the gateway asks for a family's models. */
export const upstreamOf = (
  family: string,
  { baseUrl, upstream: { keyHeader, apiVersion } = {} }: Pick<FamilySettings, 'baseUrl' | 'upstream'>,
  key: string,
): Upstream => ({
  family,
  baseUrl,
  key: () => key,
  ...(keyHeader === undefined ? {} : { keyHeader }),
  ...(apiVersion === undefined ? {} : { apiVersion }),
})

const sayMissing = (family: string, { why, hint }: Refusal): string => `${family}: ${why}${hint ? ` (${hint})` : ''}`

/** A version too old is refused; one that nobody tested makes its trial turn first. */
async function judge(
  agent: AgentAdapter['name'],
  { version }: Located,
  trial: () => Promise<{ failed: string | null }>,
): Promise<Refusal | null> {
  const { state, tested, oldest } = judgeVersion(agent, version)
  const install = `${adapterNamed(agent).program.install}@${tested}`
  if (state === 'tested') return null
  if (state === 'too-old')
    return refuse('agent-too-old', `${agent} ${version} is too old, ${oldest} is the oldest that works`, install)
  const { failed } = await trial()
  return failed === null
    ? null
    : refuse('agent-untested', `${agent} ${version} is untested and failed its trial turn: ${failed}`, install)
}
