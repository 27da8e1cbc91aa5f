/**
 * Where requests wait: for the pacer, until others give back what they hold, or for a provider's limits. One at a time goes through, urgent work
 * first, then in the order they came. Whoever waits is looked at again when something moves, and every second.
 *
 *     ask ──fits──▶ held ─▶ leaves            ask ──not now──▶ waits ──fits──▶ held   or ──out of patience──▶ what it comes to
 *
 * The pacer is everybody's, and so is a provider's limit: who waits for one lets nobody by; who waits for an account that is full of holds does.
 */
import { lanes, type Lane } from '../core/lane.ts'
import type { World } from '../host/world.ts'

/** Not now. `blocks`: those behind wait too. */
export type NotNow = { waits: string; ms: number; blocks?: true }

export type Waiter = {
  lane: Lane
  /** How long it waits from now on. */
  patienceMs(): number
  /** Told every second while it waits. */
  waiting(): void
  /** Nobody waits for the answer any more. */
  gone(): boolean
}

export type Turnstile = {
  /** Asks until the answer is no longer `waits`, patience is over, or nobody waits any more. */
  pass<T extends object>(waiter: Waiter, attempt: () => Promise<T | NotNow>): Promise<T | NotNow>
  /** Money was given back: look again. */
  look(): void
  /** Milliseconds for which there has always been someone who waits for the pacer; 0: nobody does. */
  emptyMs(): number
}

const tickMs = 1000

type Entry = Waiter & {
  rank: number
  until: number
  attempt(): Promise<object | NotNow>
  resolve(answer: object): void
  reject(error: unknown): void
}

const isNotNow = (answer: object): answer is NotNow => 'waits' in answer

export function createTurnstile(world: Pick<World, 'clock' | 'timer'>): Turnstile {
  const queue: Entry[] = []
  let [looking, again] = [false, false]
  let emptySince: number | null = null
  let cancel = (): void => {}

  /** Asks for one who waits, if nobody before it is in its way; null when it is answered and gone. */
  const settle = async (entry: Entry, before: NotNow | null): Promise<NotNow | null> => {
    try {
      const answer = entry.gone() ? { waits: 'gone', ms: 0 } : (before ?? (await entry.attempt()))
      const over = entry.gone() || world.clock.mono() >= entry.until
      if (isNotNow(answer) && !over) return answer
      entry.resolve(answer)
    } catch (error) {
      entry.reject(error)
    }
    queue.splice(queue.indexOf(entry), 1)
    return null
  }
  const round = async (): Promise<void> => {
    cancel()
    let soonest = tickMs
    let before: NotNow | null = null
    for (const entry of queue.slice()) {
      const answer = await settle(entry, before)
      if (answer === null) continue
      soonest = Math.min(soonest, Math.max(1, answer.ms))
      if (answer.waits === 'pace' || answer.blocks) before = answer
    }
    for (const entry of queue) entry.waiting()
    emptySince = before?.waits === 'pace' ? (emptySince ?? world.clock.mono()) : null
    if (queue.length > 0) cancel = world.timer.after(soonest, look)
  }
  const look = (): void => {
    again = true
    if (looking) return
    looking = true
    void (async () => {
      while (again) {
        again = false
        await round()
      }
      looking = false
    })()
  }
  return {
    async pass<T extends object>(waiter: Waiter, attempt: () => Promise<T | NotNow>): Promise<T | NotNow> {
      if (queue.length === 0) {
        const first = await attempt()
        if (!isNotNow(first)) return first
      }
      return new Promise<T | NotNow>((resolve, reject) => {
        const rank = lanes.indexOf(waiter.lane)
        const until = world.clock.mono() + waiter.patienceMs()
        const behind = queue.findIndex((each) => each.rank > rank)
        const entry: Entry = { ...waiter, rank, until, attempt, resolve: resolve as (answer: object) => void, reject }
        queue.splice(behind < 0 ? queue.length : behind, 0, entry)
        look()
      })
    },
    look: () => {
      if (queue.length > 0) look()
    },
    emptyMs: () => (emptySince === null ? 0 : world.clock.mono() - emptySince),
  }
}

/** Waits without a turnstile, between two askings of the same request: as much a wait as any, and no silence of its attempt. */
export async function pause(
  { timer }: Pick<World, 'timer'>,
  { waiting }: Pick<Waiter, 'waiting'>,
  ms: number,
  over: AbortSignal,
): Promise<void> {
  for (let left = ms; left > 0 && !over.aborted; left -= tickMs) {
    await timer.sleep(Math.min(tickMs, left), over)
    waiting()
  }
}
