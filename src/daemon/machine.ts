/**
 * Whether anything new may start on this machine: its space, the daemon's own end, and a sandbox that was only remembered, until it has been tried out
 * once more. A closed machine ends nothing that is under way.
 */
import type { World } from '../host/world.ts'
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
  prove: (() => Promise<string | null>) | undefined
  opened(): void
  failed(loop: string, error: unknown): Promise<void>
}): Promise<Machine> {
  const { world, look, prove, opened, failed } = ports
  let short = await look()
  let unproven = prove === undefined ? null : 'the sandbox is tried out once more'
  let draining = false
  const tryOut = async () => {
    try {
      unproven = (await prove?.()) ?? null
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
      const loop = startLoop(world, 'machine', lookMs, async () => void (short = await look()), failed)
      const trying = prove === undefined ? null : tryOut()
      return {
        async [Symbol.asyncDispose]() {
          await trying
          await loop[Symbol.asyncDispose]()
        },
      }
    },
  }
}
