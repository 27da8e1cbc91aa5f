/** What `up` needs of the machine and of nothing else, begun before the rest is read: trying out the sandbox, where it is not remembered, waits for two processes, not for us. */
import { findPaths, makeFolders, type Env } from '../host/path.ts'
import { realWorld } from '../host/world.ts'
import type { Climbed } from '../sandbox/create.ts'
import { climbAgain } from '../sandbox/remember.ts'

/** Never an unhandled rejection: whoever waits for it hears of a fault, and nobody may. */
export function climbAhead(env: Env): Promise<Climbed> {
  const paths = findPaths(env)
  const climbing = makeFolders(paths).then(() =>
    climbAgain(realWorld(), { path: pathOf(env), folder: paths.stateFolder }),
  )
  climbing.catch(() => {})
  return climbing
}

/** Where programs are looked for. */
export const pathOf = (env: Env): string => env['PATH'] ?? '/usr/bin:/bin'
