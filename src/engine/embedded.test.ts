import { virtualWorld } from '../../sim/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { deadLeases, releaseLease } from '../store/lease.ts'
import { conforms, type Rig } from './conformance.ts'
import { embeddedEngine } from './embedded.ts'

const leaseMs = 90_000

/** One database, virtual time, and a store that can be made to fail. */
function rig(): Rig {
  const world = virtualWorld()
  const real = openDatabase(':memory:')
  const faults: unknown[] = []
  let failing = 0
  const database: Database = {
    ...real,
    write: (body) => (failing-- > 0 ? Promise.reject(new Error('the store is unwell')) : real.write(body)),
  }
  return {
    leaseMs,
    faults,
    engine: (epoch) => embeddedEngine({ world, database, epoch, leaseMs, onFault: (error) => void faults.push(error) }),
    write: real.write,
    settle: world.settle,
    advance: world.advance,
    jumpWall: world.jumpWall,
    now: () => world.clock.mono(),
    failWrites: (count) => void (failing = count),
    sweep: (epoch) =>
      real.write(async (tx) => {
        const taken: string[] = []
        for (const lease of await deadLeases(tx, epoch, world.clock.mono(), 64))
          if (await releaseLease(tx, lease)) taken.push(lease.attempt)
        return taken
      }),
    [Symbol.asyncDispose]: async () => real.close(),
  }
}

conforms('embedded', rig)
