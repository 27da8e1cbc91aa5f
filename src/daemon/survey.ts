/** Which vendors' models could work on this machine: client and key of each. Asks a client its version where no package tells it; asks no provider. */
import { locate } from '../agent/locate.ts'
import { adapterNamed } from '../agent/registry.ts'
import { judgeVersion } from '../agent/version.ts'
import { isRefusal } from '../core/refusal.ts'
import { type Surveyed, vendors } from '../core/setting.ts'
import { isStored } from '../host/key-store.ts'
import type { Env } from '../host/path.ts'
import type { World } from '../host/world.ts'

/** One line per known vendor. `keys`: the folder of `keys set`. */
export function surveyVendors(world: World, env: Env, keys: string): Promise<Surveyed[]> {
  return Promise.all(
    Object.entries(vendors).map(async ([family, { agent, keyVariables }]): Promise<Surveyed> => {
      const found = await locate(world, adapterNamed(agent), null, env['PATH'] ?? '')
      const variable = keyVariables.find((each) => env[each])
      const key = variable ? { env: variable } : isStored(keys, family) ? { stored: family } : null
      if (isRefusal(found))
        return { family, agent, version: null, missing: { why: `${agent} is missing`, hint: found.hint ?? '' }, key }
      const { version } = found
      const { state, tested, oldest } = judgeVersion(agent, version)
      if (state !== 'too-old') return { family, agent, version, missing: null, key }
      const why = `${agent} ${version} is too old, ${oldest} is the oldest that works`
      return { family, agent, version, missing: { why, hint: `${adapterNamed(agent).program.install}@${tested}` }, key }
    }),
  )
}
