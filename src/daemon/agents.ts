/** Which of the configured families can start: an adapter, a program and a key. What cannot is named with what would mend it. */
import { readFileSync } from 'node:fs'
import type { AgentAdapter } from '../agent/agent.ts'
import { locate } from '../agent/locate.ts'
import { adapterNamed } from '../agent/registry.ts'
import { isRefusal } from '../core/refusal.ts'
import type { KeySource, OperatorSettings } from '../core/setting.ts'
import type { Upstream } from '../gateway/gateway.ts'
import type { World } from '../host/world.ts'

type Found = { adapter: AgentAdapter; folder: string; argv: readonly string[]; version: string }

export type FoundAgents = {
  get(name: string): Found | undefined
  size: number
  /** Families that can start. */
  usable: readonly string[]
  upstreams: readonly Upstream[]
  /** The real keys, for scrubbing; never for an environment. */
  secrets: readonly string[]
}

/** Looks for each configured family's agent and key. `missing` says, a sentence each, what cannot start and why. */
export async function findAgents(
  world: World,
  settings: OperatorSettings,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ agents: FoundAgents; missing: string[] }> {
  const found = new Map<string, Found>()
  const usable: string[] = []
  const upstreams: Upstream[] = []
  const secrets: string[] = []
  const missing: string[] = []
  for (const [family, { agent, program, baseUrl, keyFrom }] of Object.entries(settings.families)) {
    const key = readKey(keyFrom, env)
    if (key === null) {
      missing.push(`${family}: no key (${describeSource(keyFrom)})`)
      continue
    }
    const adapter = adapterNamed(agent)
    const located = await locate(world, adapter, program, env['PATH'] ?? '')
    if (isRefusal(located)) {
      missing.push(`${family}: ${located.why}${located.hint ? ` (${located.hint})` : ''}`)
      continue
    }
    found.set(family, { adapter, ...located })
    usable.push(family)
    upstreams.push({ family, baseUrl, key: () => key })
    secrets.push(key)
  }
  return { agents: { get: (name) => found.get(name), size: found.size, usable, upstreams, secrets }, missing }
}

function readKey(source: KeySource, env: Readonly<Record<string, string | undefined>>): string | null {
  if ('value' in source) return source.value
  if ('env' in source) return env[source.env] || null
  try {
    return readFileSync(source.file, 'utf8').trim() || null
  } catch {
    return null // said by the caller as a missing key, with where it was looked for
  }
}

const describeSource = (source: KeySource): string =>
  'env' in source ? `${source.env} is not set` : 'file' in source ? `${source.file} is not readable or empty` : 'empty'
