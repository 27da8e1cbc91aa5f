/**
 * Whether anything new may start on this machine: its space, the daemon's own end, and a sandbox that was only remembered, until it has been tried out
 * once more. A closed machine ends nothing that is under way.
 */
import { bootId } from '../host/proc.ts'
import type { World } from '../host/world.ts'
import type { Witness } from '../sandbox/sandbox.ts'
import type { Database } from '../store/database.ts'
import { forgetProcess, recordProcess } from '../store/lease.ts'
import { startLoop } from './loop.ts'

export type Machine = {
  /** Why nothing new may start, or null. */
  why(): string | null
  /** From now on nothing new starts. */
  drain(): void
  /** Looks until disposed, and tries out what has to be. */
  watch(): AsyncDisposable
}

/** How often is looked at its space, in milliseconds. */
const lookMs = 10_000

/** `prove`: tries out the sandbox, and answers why it does not hold; absent where that was done already. `opened`: called when something may start that might not. */
export async function watchMachine(ports: {
  world: World
  look(): Promise<string | null>
  prove: ((witness: Witness) => Promise<string | null>) | undefined
  witness: Witness
  opened(): void
  failed(loop: string, error: unknown): Promise<void>
}): Promise<Machine> {
  const { world, look, prove, witness, opened, failed } = ports
  let short = await look()
  let unproven = prove === undefined ? null : 'the sandbox is tried out once more'
  let draining = false
  const tryOut = async () => {
    try {
      unproven = (await prove?.(witness)) ?? null
      opened()
    } catch (error) {
      unproven = `the sandbox could not be tried out: ${error instanceof Error ? error.message : String(error)}`
      await failed('sandbox', error)
    }
  }
  return {
    why: () => (draining ? 'the daemon is ending' : (unproven ?? short)),
    drain: () => void (draining = true),
    watch() {
      // what did not hold once is tried out again: whatever was in its way may be gone
      return startLoop(
        world,
        'machine',
        lookMs,
        async () => {
          short = await look()
          if (unproven !== null) await tryOut()
        },
        failed,
      )
    },
  }
}

/** What the try-out of this daemon is called in the table of processes: it has no lease, and is none of the leftovers while its daemon lives. */
export const tryOutOf = (epoch: number): string => `look_${epoch}`
export const isTryOut = (attempt: string): boolean => attempt.startsWith('look_')

/** Writes the try-out's tree down: should we die in the middle of it, the next daemon ends it. */
export function witnessOf(world: World, database: Database, epoch: number): Witness {
  const attempt = tryOutOf(epoch)
  return {
    born: ({ pid, startTime, bootId: place }, area) =>
      database.write((tx) =>
        recordProcess(tx, {
          attempt,
          pid,
          boot_id: place ?? bootId(),
          start_time: startTime,
          area,
          started_at: world.clock.now(),
        }),
      ),
    over: () => database.write((tx) => forgetProcess(tx, attempt)),
  }
}
