/**
 * What every engine must hold, whatever stands behind the port: each offer is handed out, and what its holder writes counts once. Written against
 * the port and a rig alone, so that the next engine is held to the same laws. For tests only.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tx } from '../store/database.ts'
import type { Carried, Engine } from './engine.ts'

export type Rig = AsyncDisposable & {
  /** An engine of this daemon, or of the one that came after it. */
  engine(epoch: number): Engine
  write<T>(body: (tx: Tx) => Promise<T>): Promise<T>
  /** Lets everything happen that can without time passing. */
  settle(): Promise<void>
  advance(ms: number): Promise<void>
  jumpWall(ms: number): void
  now(): number
  /** Takes back what is lost, as the daemon of this epoch sees it; answers the attempts. */
  sweep(epoch: number): Promise<string[]>
  leaseMs: number
  /** The next writes of any engine fail. */
  failWrites(count: number): void
  faults: unknown[]
}

type Bench = { rig: Rig; engine: Engine; offer(n: number, engine?: Engine): Promise<void> }

const attempt = (n: number) => ({ attempt: `att_${n}`, task: `task_${n}`, token: n })

/** A worker that keeps what it was handed until it is told to let go. */
function holder() {
  const held: Carried[] = []
  const ends = new Map<string, () => void>()
  return {
    held,
    names: () => held.map((each) => each.attempt).toSorted(),
    carry: (carried: Carried) => {
      held.push(carried)
      return new Promise<void>((resolve) => ends.set(carried.attempt, resolve))
    },
    letGo: (n: number) => ends.get(`att_${n}`)!(),
    letAllGo: () => ends.forEach((end) => end()),
  }
}

/** Holds an engine to the contract of the port. */
export function conforms(name: string, open: () => Rig): void {
  const law = (says: string, hold: (bench: Bench) => Promise<void>) =>
    test(`${name}: ${says}`, { timeout: 10_000 }, async () => {
      await using rig = open()
      const engine = rig.engine(1)
      const offer = (n: number, by = engine) => rig.write((tx) => by.offer(tx, attempt(n)))
      await hold({ rig, engine, offer })
    })
  handsOut(law)
  fences(law)
  ends(law)
}

type Law = (says: string, hold: (bench: Bench) => Promise<void>) => void

function handsOut(law: Law): void {
  law('what was offered before and after the work began is handed out, all of it and at once', async (bench) => {
    const { rig, engine, offer } = bench
    const mine = holder()
    await offer(1)
    await using _ = engine.work(mine.carry)
    await rig.settle()
    assert.deepEqual(mine.names(), ['att_1'])
    for (let n = 2; n <= 9; n++) {
      await offer(n)
      await rig.settle()
    }
    await Promise.all([offer(10), offer(11)])
    await rig.settle()
    assert.deepEqual([mine.held.length, engine.carrying().length, rig.now()], [11, 11, 0], 'no poll was needed')
    mine.letAllGo()
  })

  law('a wake-up is never lost, at whatever moment of the looking the offer comes', async ({ rig, engine, offer }) => {
    const mine = holder()
    await using _ = engine.work(mine.carry)
    for (let turns = 0; turns < 40; turns++) {
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      void offer(turns)
      await rig.settle()
      assert.deepEqual([mine.held.length, rig.now()], [turns + 1, 0])
    }
    mine.letAllGo()
  })

  law('an offer of a transaction that was undone is never handed out', async ({ rig, engine, offer }) => {
    const mine = holder()
    await using _ = engine.work(mine.carry)
    const undone = rig.write(async (tx) => {
      await engine.offer(tx, attempt(1))
      throw new Error('changed my mind')
    })
    await assert.rejects(undone, /changed my mind/)
    await offer(2)
    await rig.advance(60_000)
    assert.deepEqual(mine.names(), ['att_2'])
    mine.letAllGo()
  })

  law('two workers never get the same attempt, and both are woken', async ({ rig, engine, offer }) => {
    const [one, two] = [holder(), holder()]
    await using _ = engine.work(one.carry)
    const second = engine.work(two.carry)
    await rig.settle()
    await Promise.all(Array.from({ length: 30 }, (_each, n) => offer(n)))
    await rig.settle()
    const names = [...one.names(), ...two.names()]
    assert.deepEqual([names.length, new Set(names).size, rig.now()], [30, 30, 0])
    two.letAllGo()
    await second[Symbol.asyncDispose]()
    await offer(31)
    await rig.settle()
    assert.ok(one.names().includes('att_31'), 'the one that is left is still woken')
    assert.equal(rig.now(), 0)
    one.letAllGo()
  })

  law('a carrier that breaks or a store that is unwell is told, and hurts no other attempt', async (bench) => {
    const { rig, engine, offer } = bench
    const mine = holder()
    await using _ = engine.work((carried) =>
      carried.attempt === 'att_1' ? Promise.reject(new Error('broken')) : mine.carry(carried),
    )
    await offer(1)
    await rig.settle()
    assert.deepEqual([rig.faults.map(String), engine.carrying()], [['Error: broken'], []])
    await rig.settle()
    rig.failWrites(3)
    await rig.advance(10_000)
    assert.equal(rig.faults.length, 4)
    await offer(2)
    await rig.settle()
    assert.deepEqual(mine.names(), ['att_2'])
    mine.letAllGo()
  })
}

function fences(law: Law): void {
  law('a holder that beats keeps its lease for as long as it likes, whatever the wall clock does', async (bench) => {
    const { rig, engine, offer } = bench
    const mine = holder()
    await using _ = engine.work(mine.carry)
    await offer(1)
    await rig.settle()
    rig.jumpWall(365 * 24 * 3_600_000)
    assert.deepEqual(await rig.sweep(1), [])
    for (let beat = 0; beat < 10; beat++) {
      await rig.advance(rig.leaseMs - 1)
      assert.equal(await mine.held[0]!.beat(beat % 2 === 0), true)
      assert.deepEqual(await rig.sweep(1), [])
    }
    rig.jumpWall(-2 * 365 * 24 * 3_600_000)
    assert.deepEqual(await rig.sweep(1), [])
    assert.equal(await mine.held[0]!.beat(true), true)
    await rig.advance(rig.leaseMs - 1)
    assert.deepEqual(await rig.sweep(1), [])
    await rig.advance(2)
    assert.deepEqual(await rig.sweep(1), ['att_1'], 'and when it is silent it loses it, as ever')
    mine.letAllGo()
  })

  law(
    'a holder that was silent loses its lease: it is told at its next beat, and nothing it writes counts',
    async (bench) => {
      const { rig, engine, offer } = bench
      const mine = holder()
      await using _ = engine.work(mine.carry)
      await offer(1)
      await rig.settle()
      await rig.advance(rig.leaseMs + 1)
      assert.deepEqual(await rig.sweep(1), ['att_1'])
      const stale = mine.held[0]!
      assert.deepEqual(
        [
          await rig.write((tx) => engine.holds(tx, stale)),
          await rig.write((tx) => engine.finish(tx, stale)),
          await stale.beat(true),
          stale.signal.aborted && stale.signal.reason,
        ],
        [false, false, false, 'lost'],
      )
      await rig.write((tx) => engine.offer(tx, { attempt: 'att_1b', task: 'task_1', token: 2 }))
      await rig.settle()
      const now = mine.held[1]!
      assert.equal(await rig.write((tx) => engine.finish(tx, { ...stale, attempt: now.attempt })), false)
      assert.equal(await rig.write((tx) => engine.finish(tx, { ...now, token: stale.token })), false)
      assert.equal(await rig.write((tx) => engine.finish(tx, now)), true)
      mine.letAllGo()
    },
  )

  law('a result counts once, together with what is written with it or not at all', async ({ rig, engine, offer }) => {
    const mine = holder()
    await using _ = engine.work(mine.carry)
    await offer(1)
    await rig.settle()
    const [carried] = mine.held
    const undone = rig.write(async (tx) => {
      assert.equal(await engine.finish(tx, carried!), true)
      throw new Error('the result could not be written')
    })
    await assert.rejects(undone, /could not be written/)
    assert.equal(await rig.write((tx) => engine.holds(tx, carried!)), true)
    const both = await Promise.all([1, 2].map(() => rig.write((tx) => engine.finish(tx, carried!))))
    assert.deepEqual(both, [true, false])
    assert.equal(await carried!.beat(true), false)
    mine.letAllGo()
  })

  law(
    'a daemon that died is fenced by the next one: its attempts are taken back, its offers handed to nobody',
    async (bench) => {
      const { rig, engine, offer } = bench
      const [mine, next] = [holder(), holder()]
      const dying = engine.work(mine.carry)
      await offer(1)
      await rig.settle()
      mine.letAllGo()
      await dying[Symbol.asyncDispose]()
      await offer(2)
      const heir = rig.engine(2)
      await using _ = heir.work(next.carry)
      await rig.settle()
      assert.deepEqual(next.names(), [])
      assert.deepEqual((await rig.sweep(2)).toSorted(), ['att_1', 'att_2'])
      const [stale] = mine.held
      assert.equal(await rig.write((tx) => engine.finish(tx, stale!)), false)
      assert.equal(await stale!.beat(true), false)
      await offer(3, heir)
      await rig.settle()
      assert.deepEqual(next.names(), ['att_3'])
      next.letAllGo()
    },
  )
}

function ends(law: Law): void {
  law('a revoked attempt is told why, at once; another one, or one that is not here, is left alone', async (bench) => {
    const { rig, engine, offer } = bench
    const mine = holder()
    await using _ = engine.work(mine.carry)
    await Promise.all([offer(1), offer(2)])
    await rig.settle()
    engine.revoke('att_1', 'killed')
    engine.revoke('att_9', 'killed')
    const told = mine.held.map(({ attempt: id, signal }) => [id, signal.aborted ? signal.reason : null])
    assert.deepEqual(
      told.toSorted((a, b) => (a[0]! < b[0]! ? -1 : 1)),
      [
        ['att_1', 'killed'],
        ['att_2', null],
      ],
    )
    assert.equal(
      await rig.write((tx) =>
        engine.finish(
          tx,
          mine.held.find((each) => each.attempt === 'att_1')!,
        ),
      ),
      true,
    )
    mine.letGo(1)
    await rig.settle()
    assert.deepEqual(engine.carrying(), ['att_2'])
    mine.letAllGo()
  })

  law('when it is stopped nothing more is handed out, and the stop waits for what is under way', async (bench) => {
    const { rig, engine, offer } = bench
    const mine = holder()
    const working = engine.work(mine.carry)
    await offer(1)
    await rig.settle()
    let stopped = false
    const stopping = working[Symbol.asyncDispose]().then(() => (stopped = true))
    await offer(2)
    await rig.advance(60_000)
    assert.deepEqual([mine.names(), stopped], [['att_1'], false])
    mine.letGo(1)
    await stopping
    await working[Symbol.asyncDispose]()
    assert.deepEqual(engine.carrying(), [])
    await using _ = engine.work(mine.carry)
    await rig.settle()
    assert.deepEqual(mine.names(), ['att_1', 'att_2'], 'and the next worker gets it')
    mine.letAllGo()
  })

  law('it stops at once, whether it has just begun, is asleep, or its store is unwell', async (bench) => {
    const { rig, engine, offer } = bench
    const mine = holder()
    await offer(1)
    await engine.work(mine.carry)[Symbol.asyncDispose]()
    assert.deepEqual(mine.names(), [], 'it was stopped before it looked')
    const asleep = engine.work(async () => {})
    await rig.settle()
    await asleep[Symbol.asyncDispose]()
    rig.failWrites(1)
    await engine.work(async () => {})[Symbol.asyncDispose]()
    assert.deepEqual([rig.faults.length, rig.now()], [1, 0])
  })

  law(
    'what is claimed in the moment of the stop is not left behind: it ends at once or waits for the next worker',
    async (bench) => {
      const { rig, engine, offer } = bench
      for (let turns = 0; turns < 30; turns++) {
        const carried: Carried[] = []
        const working = engine.work((each) => {
          carried.push(each)
          return new Promise<void>((resolve) => {
            if (each.signal.aborted) resolve()
            else each.signal.addEventListener('abort', () => resolve())
          })
        })
        await rig.settle()
        void offer(turns)
        for (let turn = 0; turn < turns; turn++) await Promise.resolve()
        for (const id of engine.carrying()) engine.revoke(id, 'killed')
        await working[Symbol.asyncDispose]()
        assert.ok(carried.every(({ signal }) => signal.reason === 'killed'))
      }
      await rig.settle() // the last offer is nobody's by now, but it is written
      assert.equal(rig.now(), 0)
    },
  )
}
