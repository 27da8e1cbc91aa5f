/**
 * A loop that never dies silently: one catch at its top writes `loop.failed`, then backs off. Woken by a call, or by its floor; at its floor it may look
 * first whether there is anything to do.
 * Tolerates being stopped twice and before it started; once `stop` resolves nothing of it is under way.
 */
import type { World } from '../host/world.ts'

export type Loop = AsyncDisposable & {
  /** Asks for a pass soon. Calls while a pass is under way lead to exactly one more. */
  wake(): void
}

/**
 * Starts calling `pass` now, at every wake, and at least every `everyMs`, unless `hasNews` says then that a pass would find all as the last one left it.
 * Where that cannot be said, `pass` finds out why.
 */
export function startLoop(
  world: World,
  name: string,
  everyMs: number,
  pass: () => Promise<void>,
  failed: (loop: string, error: unknown) => Promise<void>,
  hasNews: () => boolean = () => true,
): Loop {
  const stop = new AbortController()
  let wanted = true
  let rouse = () => {}
  const rest = (ms: number) =>
    new Promise<void>((resolve) => {
      const cancel = world.timer.after(ms, resolve)
      rouse = () => {
        cancel()
        resolve()
      }
    })
  const restUntilNews = async () => {
    do await rest(everyMs)
    while (!wanted && !stop.signal.aborted && !mayHave(hasNews))
  }
  const going = (async () => {
    let failures = 0
    while (!stop.signal.aborted) {
      wanted = false
      try {
        await pass()
        failures = 0
      } catch (error) {
        failures += 1
        await failed(name, error)
      }
      if (stop.signal.aborted) return
      if (failures > 0) await rest(Math.min(30_000, 250 * 2 ** failures))
      else if (!wanted) await restUntilNews()
    }
  })()
  return {
    wake() {
      wanted = true
      rouse()
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      rouse()
      await going
    },
  }
}

function mayHave(hasNews: () => boolean): boolean {
  try {
    return hasNews()
  } catch {
    return true
  }
}

/** What went wrong, in full: for the log. */
export const sayError = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
