import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fault } from '../src/host/fault.ts'
import { virtualWorld } from './world.ts'

const startAt = 1_700_000_000_000

test('timers fire in order of due time, then of creation, each seeing its own moment', async () => {
  const world = virtualWorld({ startAt })
  const seen: [string, number, number][] = []
  const note = (name: string) => () => void seen.push([name, world.clock.mono(), world.clock.now()])
  world.timer.after(20, note('late'))
  world.timer.after(10, note('early'))
  world.timer.after(10, note('early too'))
  world.timer.after(31, note('beyond'))
  await world.advance(30)
  assert.deepEqual(seen, [
    ['early', 10, startAt + 10],
    ['early too', 10, startAt + 10],
    ['late', 20, startAt + 20],
  ])
  assert.deepEqual([world.clock.mono(), world.pending()], [30, 1])
})

test('a timer set by a timer, or by code that awaited one, fires within the same advance', async () => {
  const world = virtualWorld()
  const seen: string[] = []
  const loop = async () => {
    for (let beat = 1; beat <= 3; beat++) {
      await world.timer.sleep(10)
      await Promise.resolve()
      seen.push(`beat ${beat} at ${world.clock.mono()}`)
    }
  }
  const ended = loop()
  await world.advance(30)
  assert.deepEqual(seen, ['beat 1 at 10', 'beat 2 at 20', 'beat 3 at 30'])
  await ended
})

test('a cancelled timer never fires and an aborted sleep resolves at once, leaving nothing behind', async () => {
  const world = virtualWorld()
  let fired = false
  world.timer.after(5, () => (fired = true))()
  const stop = new AbortController()
  const asleep = world.timer.sleep(1_000, stop.signal)
  stop.abort()
  await asleep
  await world.timer.sleep(1_000, stop.signal)
  assert.equal(world.pending(), 0)
  await world.advance(5_000)
  assert.equal(fired, false)
})

test('until idle jumps from timer to timer, says what passed, and gives up on a loop that never ends', async () => {
  const world = virtualWorld()
  let left = 3
  const again = () => void (--left > 0 && world.timer.after(60_000, again))
  world.timer.after(60_000, again)
  assert.equal(await world.runUntilIdle(), 180_000)

  const forever = () => void world.timer.after(1, forever)
  forever()
  await assert.rejects(
    world.runUntilIdle({ maxTimers: 50 }),
    (error: unknown) => error instanceof Fault && error.code === 'never-idle',
  )
  assert.equal(await world.runUntilIdle({ maxMs: 100 }), 100)
})

test('the same seed tells the same story, another seed another', () => {
  const story = (seed: number) => {
    const world = virtualWorld({ seed, ids: 'drawn' })
    return [world.random(), world.secret(8), world.id('task'), world.id('task'), world.random()]
  }
  assert.deepEqual(story(7), story(7))
  assert.notDeepEqual(story(7), story(8))
  assert.match(String(story(7)[2]), /^task_[0-9a-hjkmnp-tv-z]{8}$/)
})

test('counted ids carry their kind and count each kind on its own', () => {
  const world = virtualWorld()
  assert.deepEqual(
    [world.id('task'), world.id('attempt'), world.id('task')],
    ['task_00000001', 'attempt_00000001', 'task_00000002'],
  )
})

test('one more id or secret does not change the random numbers', () => {
  const plain = virtualWorld({ ids: 'drawn' })
  const busy = virtualWorld({ ids: 'drawn' })
  busy.id('task')
  busy.secret(16)
  assert.equal(busy.random(), plain.random())
})

test('a jump of the wall clock leaves durations alone', async () => {
  const world = virtualWorld({ startAt })
  let firedAt = 0
  world.timer.after(100, () => (firedAt = world.clock.mono()))
  world.jumpWall(-3_600_000)
  await world.advance(100)
  assert.deepEqual([firedAt, world.clock.now()], [100, startAt - 3_600_000 + 100])
})

test('no process is started unless a spawn was given', async () => {
  const spec = { file: 'true', args: [], cwd: '/', env: {} }
  await assert.rejects(
    virtualWorld().spawn(spec),
    (error: unknown) => error instanceof Fault && error.code === 'spawn-forbidden',
  )
})
