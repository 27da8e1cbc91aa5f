/** Ending a recorded process tree and proving it: by boot, pid and start time, so that nothing else is ever met. */
import type { World } from '../host/world.ts'
import type { ProcessRow } from '../store/lease.ts'
import type { DaemonPorts } from './ports.ts'

/** numbers.md has no figure; a killed tree is gone within milliseconds, and the next pass comes again. */
const buryMs = 3000
/** Between two looks: soon at first, and ever less often at what hangs in the kernel. */
const firstLookMs = 5
const lastLookMs = 500

/** False while something of it lives. */
export async function buryTree(
  world: World,
  { isTreeAlive, end }: DaemonPorts['processes'],
  row: ProcessRow,
): Promise<boolean> {
  const identity = { bootId: row.boot_id, pid: row.pid, startTime: row.start_time }
  const began = world.clock.mono()
  let lookMs = firstLookMs
  while (isTreeAlive(identity, row.area)) {
    if (world.clock.mono() - began > buryMs) return false
    end(identity, row.area)
    await world.timer.sleep(lookMs)
    lookMs = Math.min(2 * lookMs, lastLookMs)
  }
  return true
}
