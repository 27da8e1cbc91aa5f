/**
 * Ends attempts whose money is over. The gateway has denied them by then and its answer makes every client stop; whoever does not is ended here, in
 * the order in which attempts die: key, program, container. Where the breaker has tripped nobody is waited for.
 */
import type { Engine } from '../engine/engine.ts'
import type { Gateway, GatewayEvent } from '../gateway/gateway.ts'
import type { World } from '../host/world.ts'

/** Time to say one's last words after the denial; the slowest client took 1.6 s. */
const lastWordsMs = 5000

type Parts = {
  world: Pick<World, 'timer'>
  engine: () => Engine
  gateway: () => Gateway
  failed: (error: unknown) => void
}

/** Give it the gateway's events. Disposed, it ends nothing any more. */
export function endOverBudget({
  world,
  engine,
  gateway,
  failed,
}: Parts): Disposable & { hear(event: GatewayEvent): void } {
  const waiting = new Map<string, () => void>()
  const end = (attempt: string, scope: string, why: string): void => {
    if (!engine().carrying().includes(attempt)) return
    gateway().halt(attempt, { scope, why }).catch(failed) // its key is dead before the program hears of it
    engine().revoke(attempt, 'over-budget')
  }
  return {
    hear(event) {
      if (event.type === 'breaker.tripped') for (const attempt of event.attempts) end(attempt, 'minute', event.why)
      if (event.type !== 'budget.reached' || waiting.has(event.attempt)) return
      const { attempt, scope, why } = event
      const late = world.timer.after(lastWordsMs, () => {
        waiting.delete(attempt)
        end(attempt, scope, why)
      })
      waiting.set(attempt, late)
    },
    [Symbol.dispose]() {
      for (const cancel of waiting.values()) cancel()
      waiting.clear()
    },
  }
}
