/** companion: the launcher in a container of its own, for a daemon that cannot make namespaces. Nothing of this account is read by it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { looksLikeKey } from '../core/key-shape.ts'
import { refuse } from '../core/refusal.ts'
import { vendors } from '../core/setting.ts'
import type { Env, Paths } from '../host/path.ts'
import type { Act } from './context.ts'

export const companion: Act = async ({ env, cwd, paths, world, json, out }, said) => {
  const socket = said.text('socket')
  if (socket === undefined)
    return refuse('socket-missing', 'it has to know where to listen', 'tri-agent companion --socket /companion/socket')
  const wrong = secretsIn(env, paths)
  if (wrong.length > 0)
    return refuse(
      'companion-unsafe',
      `the container of a companion must not have what it is there to keep from agents: ${wrong.join(', ')}`,
      'start it with an empty environment, and share with it only what docs/companion.md says',
    )
  const { startCompanion } = await import('../daemon/companion.ts')
  const path = resolve(cwd, socket)
  return startCompanion(world, { socket: path, path: env['PATH'] ?? '/usr/bin:/bin' }, (isFirst) => {
    const text = `Companion: listens at ${path}${isFirst ? '' : '; not PID 1 of its container, so a program that ends its watcher gets away'}.\n`
    out(json ? `${JSON.stringify({ socket: path, isFirst })}\n` : text)
  })
}

/** Names of variables that hold a key, as far as one is known by its name or its looks, and files of a daemon. Never a value. */
function secretsIn(env: Env, { database, keys, configFile }: Paths): string[] {
  const named = Object.values(vendors).flatMap(({ keyVariables }) => keyVariables)
  const variables = Object.entries(env).flatMap(([name, value]) =>
    value && (named.includes(name) || looksLikeKey(value)) ? [`the variable ${name}`] : [],
  )
  return [...variables, ...[database, keys, configFile].filter((each) => existsSync(each))]
}
