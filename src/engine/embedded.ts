/** The engine on one machine: a loop in the daemon over the lease table. Wake-up is a call, a slow poll is only the floor. */
import type { World } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { beatLease, claimLeases, holds, offerLease, releaseLease, type Lease } from '../store/lease.ts'
import type { Carried, Engine } from './engine.ts'

/**
 * An engine for the daemon of `epoch`. `leaseMs` is how long a holder may be silent, `floorMs` how often it looks should a wake-up ever be missed.
 */
export function embeddedEngine(ports: {
  world: World
  database: Database
  epoch: number
  leaseMs: number
  floorMs?: number
  onFault: (error: unknown) => void
}): Engine {
  const { world, database, epoch, leaseMs, floorMs = 1000 } = ports
  const carried = new Map<string, AbortController>()
  const sleepers = new Set<() => void>()

  const carry = (lease: Lease, carryOne: (carried: Carried) => Promise<void>): Promise<void> => {
    const stop = new AbortController()
    let activeAt = world.clock.mono()
    const beat = async (active: boolean) => {
      if (active) activeAt = world.clock.mono()
      const alive = await database.write((tx) => beatLease(tx, lease, world.clock.mono(), leaseMs, activeAt))
      if (!alive) stop.abort('lost')
      return alive
    }
    carried.set(lease.attempt, stop)
    return carryOne({ ...lease, signal: stop.signal, beat })
      .catch(ports.onFault)
      .finally(() => carried.delete(lease.attempt))
  }

  return {
    async offer(tx, attempt) {
      await offerLease(tx, { ...attempt, epoch }, world.clock.mono(), leaseMs)
      sleepers.forEach((wake) => wake()) // before the commit: then the claim is in the same one
    },
    revoke: (attempt, why) => carried.get(attempt)?.abort(why),
    holds,
    finish: releaseLease,
    carrying: () => [...carried.keys()],
    work(carryOne) {
      const underWay = new Set<Promise<void>>()
      let stopped = false
      let woken = false
      let cancelSleep = () => {}
      const wake = () => {
        woken = true
        cancelSleep()
      }
      sleepers.add(wake)
      const step = async () => {
        const before = database.stamp()
        const leases = await database.write(async (tx) => {
          woken = false // what is offered from here on is not among these
          return stopped ? [] : claimLeases(tx, { epoch, monoMs: world.clock.mono(), leaseMs })
        })
        for (const lease of leases) {
          const done = carry(lease, carryOne).finally(() => underWay.delete(done))
          underWay.add(done)
          if (stopped) carried.get(lease.attempt)?.abort('killed') // whoever stops us has revoked all it saw before this one
        }
        // not under way with a look in vain, it can share the commit of the next offer
        if (!woken && !stopped)
          do await sleepUntilWoken()
          while (!woken && !stopped && !hasNews(before)) // nor is one made that would find what the last one found
      }
      const hasNews = (before: string | null) => before === null || database.stamp() !== before
      const sleepUntilWoken = () =>
        new Promise<void>((resolve) => {
          const cancel = world.timer.after(floorMs, resolve)
          cancelSleep = () => {
            cancel()
            resolve()
          }
        })
      const loop = async () => {
        while (!stopped)
          await step().catch(async (error: unknown) => {
            ports.onFault(error)
            if (!stopped) await sleepUntilWoken() // one look per poll while the database is unwell
          })
      }
      const looping = loop()
      return {
        async [Symbol.asyncDispose]() {
          stopped = true
          sleepers.delete(wake)
          wake()
          await looping
          await Promise.all(underWay)
        },
      }
    },
  }
}
