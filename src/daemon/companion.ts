/** The launcher of the rung companion as a process: until SIGTERM or SIGINT, or until whoever is told to watch over it takes its container away. */
import { Fault } from '../host/fault.ts'
import { isListening } from '../host/unix-socket.ts'
import { programVersion } from '../host/version.ts'
import type { World } from '../host/world.ts'
import { serveCompanion } from '../sandbox/companion-launcher.ts'
import { toolsOn } from '../sandbox/create.ts'
import { groupSandbox } from '../sandbox/group.ts'
import { trySubreaper } from '../sandbox/subreaper.ts'

/** Stays until it is told to stop; answers the exit code. Faults: `companion-up`, `no-subreaper`. */
export async function startCompanion(
  world: World,
  { socket, path }: { socket: string; path: string },
  onReady: (isFirst: boolean) => void,
): Promise<number> {
  const told = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve())
  })
  if (await isListening(socket)) throw new Fault('companion-up', `somebody listens at ${socket} already`)
  const failed = await trySubreaper(groupSandbox(world, path, toolsOn(path), true))
  if (failed !== null)
    throw new Fault('no-subreaper', `a companion cannot end here what programs leave behind: ${failed}`)
  const isFirst = process.pid === 1
  await using _ = await serveCompanion({ world, socket, path, version: programVersion(), isFirst })
  onReady(isFirst)
  await told
  return 0
}
