/**
 * What is left in a pid namespace whose first process we are: whoever is in no tree that lives. Each tree's watcher adopts what its program leaves behind,
 * so a process of a living tree always descends from a living watcher; one that does not had a program that ended its watcher, and goes.
 * Never: who was put into the container from outside (`podman exec`), whose parent is none of ours.
 */
import { killProcess } from '../host/proc.ts'
import { descendantsOf } from '../host/process-tree.ts'
import type { World } from '../host/world.ts'

/** One that respawns is met again and again, for so long. */
const sweepMs = 2000
const lookMs = 2
/** A list of processes misses who is born while it is read: so often nobody may be there before nobody is. */
const quietLooks = 2

/** Ends all that descends from us and from none of `roots`; answers how many are left. Nothing may be started meanwhile. */
export async function sweepStrays(
  { clock, timer }: Pick<World, 'clock' | 'timer'>,
  roots: ReadonlySet<number>,
): Promise<number> {
  const began = clock.mono()
  for (let quiet = 0; quiet < quietLooks; await timer.sleep(lookMs)) {
    const strays = straysBeside(roots)
    for (const pid of strays) killProcess(pid)
    if (strays.length > 0 && clock.mono() - began > sweepMs) return strays.length
    quiet = strays.length === 0 ? quiet + 1 : 0
  }
  return 0
}

function straysBeside(roots: ReadonlySet<number>): number[] {
  const owned = new Set([...roots].flatMap((root) => [root, ...descendantsOf(root)]))
  return descendantsOf(process.pid).filter((pid) => !owned.has(pid))
}
