/**
 * `tri-agent chaos`: the whole product on a scratch repository while its daemon, workers and agents are killed, told to end and frozen, its provider fails, its
 * disk fills up and its network goes. Simulated models; everything else is real.
 *
 *     scene ─▶ blow, blow, blow … with tasks always under way ─▶ calm: every task is done ─▶ the daemon stops ─▶ stock is taken
 *
 * It touches its own folder alone. Once it has begun it always comes to its end: what hangs is a problem, and is killed.
 */
import { isFault } from '../host/fault.ts'
import { readCircumstances } from '../store/lease.ts'
import { dealBlows, isKill, nameOf, type Powers } from './chaos-blow.ts'
import { setScene, type Scene, type SceneOptions } from './chaos-scene.ts'
import { takeStock, type Stock } from './chaos-stock.ts'
import { startStorm, type Storm } from './chaos-strike.ts'

export type ChaosOptions = SceneOptions & {
  seed: number
  /** It is enough after so many kills, or so many milliseconds with the `floor` of kills in them: on a slow machine it goes on until they are dealt. */
  kills: number
  forMs: number
  floor: number
  powers: Powers
  /** In a pid namespace of our own. */
  alone: boolean
  note(text: string): void
  /** Told once stock is taken, while the folder is still as it was left. */
  leave?(done: Chaos): Promise<void>
}

export type Chaos = {
  seed: number
  kills: number
  /** How often each kind of blow was dealt. */
  blows: Record<string, number>
  troubled: number
  servingMs: number[]
  /** How often a person had to have a task tried again. */
  retried: number
  seconds: { storm: number; calm: number }
  stock: Stock
  problems: string[]
}

/** Tasks that are to be under way at any time. */
const load = 4
/** Once nothing goes wrong any more, so long may pass without one more task done. A provider that failed thrice is left alone for a minute. */
const calmMs = 120_000
const lookMs = 50

/** Carries it out; rejects only where the scene itself cannot be made. */
export async function chaos(options: ChaosOptions): Promise<Chaos> {
  const { world, alone, powers, note } = options
  await using scene = await setScene(options)
  const storm = startStorm({ scene, powers, alone })
  try {
    const began = world.clock.mono()
    const dealt = await rage(options, scene, storm)
    const raged = world.clock.mono()
    note('Calm: everything must come to its end…')
    const retried = dealt.retried + (await settle(scene, storm))
    await storm.stop().catch((error: Error) => storm.problems.push(error.message))
    const stock = await takeStock(scene, alone)
    const done: Chaos = {
      seed: options.seed,
      ...dealt,
      troubled: scene.proxy.given(),
      servingMs: storm.servingMs,
      retried,
      seconds: { storm: (raged - began) / 1000, calm: (world.clock.mono() - raged) / 1000 },
      stock,
      problems: storm.problems,
    }
    await options.leave?.(done)
    return done
  } finally {
    await storm.end()
  }
}

/** Where the floor is not reached within so many times the time that was asked for, something is wrong. */
const mostTimes = 4

async function rage({ world, seed, kills, forMs, floor, powers, note }: ChaosOptions, scene: Scene, storm: Storm) {
  const began = world.clock.mono()
  const blows: Record<string, number> = {}
  let done = 0
  let retried = 0
  for (const blow of dealBlows(seed, powers)) {
    const spentMs = world.clock.mono() - began
    if (done >= kills || spentMs > (done < floor ? forMs * mostTimes : forMs)) break
    // what was given up after too many losses stays under way, or the storm would leave ever more of it behind
    retried += await scene.tryAgain(await scene.unfinished()).catch(toldLater)
    await scene.keepBusy(load)
    const hit = await storm.strike(blow).catch((error: Error) => {
      storm.problems.push(`${nameOf(blow)}: ${error.message}`)
      return false
    })
    if (!hit) continue
    blows[nameOf(blow)] = (blows[nameOf(blow)] ?? 0) + 1
    if (isKill(blow)) done += 1
    note(`${String(Math.round((world.clock.mono() - began) / 1000)).padStart(4)} s  ${nameOf(blow)}`)
  }
  return { kills: done, blows, retried }
}

/** On a full disk nobody can be asked; the next look comes soon. */
function toldLater(error: unknown): number {
  if (!isFault(error)) throw error
  return 0
}

/** Has everything come to its end; what was given up after too many losses a person has tried again. Answers how often. */
async function settle(scene: Scene, storm: Storm): Promise<number> {
  const { world } = scene
  let retried = 0
  try {
    await storm.calm()
    let left = Infinity
    for (let since = world.clock.mono(); ; await world.timer.sleep(lookMs)) {
      const open = await scene.unfinished()
      if (open.length === 0) return retried
      retried += await scene.tryAgain(open)
      if (open.length < left) since = world.clock.mono()
      left = open.length
      if (world.clock.mono() - since > calmMs) {
        const circumstances = await scene.database.read(readCircumstances)
        storm.problems.push(
          `nothing ends: ${JSON.stringify(circumstances)}\n${storm.said()}`,
          ...open.map(({ id, phase, step, why }) => `${id} does not end: ${phase}, ${step}: ${why ?? ''}`),
        )
        return retried
      }
    }
  } catch (error) {
    storm.problems.push((error as Error).message)
    return retried
  }
}

/** What must be nothing, by name. */
export function faultsOf({ stock, problems }: Chaos): Record<string, readonly string[]> {
  const { left, lost, doubled, untrue } = stock
  return {
    'tasks lost': lost,
    'tasks doubled': doubled,
    'processes left': left.pids,
    'areas left': left.areas,
    'sockets left': left.sockets,
    'holds left': left.holds,
    'keys left': left.keys,
    'leases left': left.leases,
    'attempts without an end': left.attempts,
    'processes in the table': left.processes,
    'untrue in log or history': untrue,
    'other problems': problems,
  }
}
