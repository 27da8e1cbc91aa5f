/**
 * The group rung, where there is no bubblewrap: a process group and an environment we wrote. It does NOT hold files, network or a daemon that left
 * its group and wiped its environment; what is left alive is looked for and reported, never hidden.
 */
import { delimiter } from 'node:path'
import { descendantsOf, killProcess, startTimeOf, withEnvironment } from '../host/proc.ts'
import type { World } from '../host/world.ts'
import { finish } from './finish.ts'
import type { Box, Contained, KillReport, Sandbox } from './sandbox.ts'

const marker = 'TRI_AGENT_BOX'

/** A sandbox on this rung. `path` is the PATH its programs are found on, `node` the folder of our own Node. */
export function groupSandbox(world: World, path: string): Sandbox {
  return {
    rung: 'group',
    view: ({ work, home, out, tmp }, gateway) => ({ work, home, out, tmp, gatewayUrl: gateway?.url ?? '' }),
    start: (box) => start(world, path, box),
  }
}

async function start(world: World, path: string, box: Box): Promise<Contained> {
  const mark = world.secret(8)
  const [file = '', ...args] = box.argv
  const env = {
    PATH: [...(box.toolchain ?? []), path].join(delimiter),
    LANG: 'C.UTF-8',
    NO_PROXY: '127.0.0.1,localhost',
    ...box.env,
    [marker]: mark,
  }
  const child = await world.spawn({ file, args, cwd: box.area.work, env, stdin: box.stdin })
  let killing: Promise<KillReport> | null = null
  return finish(world, child, {
    startTime: startTimeOf(child.pid),
    stop: (signal) => void child.signal(signal),
    kill: () => (killing ??= kill(world, child, `${marker}=${mark}`)),
  })
}

/** How long we sweep before we report survivors. */
const sweepMs = 2000

async function kill(
  world: World,
  child: { pid: number; exit: Promise<unknown>; signal(name: 'SIGKILL'): boolean },
  entry: string,
): Promise<KillReport> {
  const began = world.clock.mono()
  const mine = () => [...new Set([...descendantsOf(child.pid), ...withEnvironment(entry)])]
  let left = mine()
  child.signal('SIGKILL')
  for (const pid of left) killProcess(pid)
  await child.exit
  left = mine()
  while (left.length > 0 && world.clock.mono() - began < sweepMs) {
    for (const pid of left) killProcess(pid) // one that respawns is met again
    await world.timer.sleep(5)
    left = mine()
  }
  return { method: 'group', survivors: left.length, ms: Math.round(world.clock.mono() - began) }
}
