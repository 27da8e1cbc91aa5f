/** Told twice, at the worst moments: kill of a task and the end of the daemon while it is set up, while its gates are executed, while it lands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recordedProcesses } from '../../src/store/lease.ts'
import { endsWell } from './ending.ts'
import { approving, rig, survivorsIn, survivorsOfAttempts, testGate, writing, type Made, type Rig } from './rig.ts'

const rules = [writing('Sell coffee'), approving]
const hanging = 'test -e /nowhere || exec sleep 300'

/** A process of a step that was written down. */
const begun = (shop: Rig, step: string) =>
  shop.until(`a process in ${step}`, async (reader) => {
    const row = await reader.get<{ attempt: string }>(
      'select attempt from process join attempt on attempt.id = process.attempt where step = :step',
      { step },
    )
    return (await recordedProcesses(reader)).find(({ attempt }) => attempt === row?.attempt)
  })

const outcomes = async (shop: Rig, id: string) =>
  (await shop.events(id)).flatMap((event) => (event.type === 'attempt.ended' ? [event.outcome] : []))

type Moment = { step: 'implement' | 'verify'; made: Partial<Made> }
const moments: Record<string, Moment> = {
  'while it is set up': { step: 'implement', made: { yaml: { setup: [hanging], gates: [testGate] } } },
  'while its gates are executed': { step: 'verify', made: { yaml: { gates: [{ ...testGate, command: hanging }] } } },
}

for (const [when, { step, made }] of Object.entries(moments)) {
  test(`killed twice ${when}: ended once, both are told how, nothing is left`, async () => {
    await using shop = await rig({ rules, ...made })
    await shop.up()
    const id = await shop.add('Sell coffee')
    await begun(shop, step)
    const both = await Promise.all([shop.type('kill', id, '--json'), shop.type('kill', id, '--json')])
    for (const { code, stdout, stderr } of both) {
      assert.equal(code, 0, stdout + stderr)
      const { killed, survivors, notEnded } = JSON.parse(stdout) as {
        killed: { outcome: string }[]
        survivors: number
        notEnded: number
      }
      assert.deepEqual([survivors, notEnded], [0, 0])
      assert.ok(killed.every(({ outcome }) => outcome === 'killed'))
    }
    assert.deepEqual((await outcomes(shop, id)).filter((each) => each === 'killed').length, 1)
    const { running, phase, step: at } = await shop.task(id)
    assert.deepEqual([running, phase, at, survivorsOfAttempts(shop)], [[], 'open', step, []])
    await endsWell(shop)
  })

  test(`told to end twice ${when}: ended at once, ready again where it was`, async () => {
    await using shop = await rig({ rules, ...made, config: { drain: { normal: '10m' } } })
    const running = await shop.up()
    const id = await shop.add('Sell coffee')
    await begun(shop, step)
    const hurry = new AbortController()
    const draining = running.drain(hurry.signal)
    hurry.abort()
    await draining
    await shop.down()
    const task = await shop.task(id)
    assert.deepEqual([task.running, task.phase, task.step, survivorsIn(shop)], [[], 'open', step, []])
    await endsWell(shop)
  })
}

/** A shop whose target moves only when it may; `moving` when it is about to. */
async function landing() {
  const shop = await rig({ rules, config: { drain: { normal: '0s' } } })
  const running = await shop.up()
  const { daemon } = running
  const [moving, may] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { land } = daemon.git
  daemon.git.land = async (...args) => {
    moving.resolve()
    await may.promise
    return land(...args)
  }
  const id = await shop.add('Sell coffee')
  await moving.promise
  return { shop, running, id, may: may.resolve }
}

test('killed twice while it lands: it is let finish, and both are told so', async () => {
  const { shop, id, may } = await landing()
  await using _ = shop
  const both = [shop.type('kill', id), shop.type('kill', id)]
  await shop.happened(id, 'task.held')
  may()
  const said = (await Promise.all(both)).map(({ stdout, stderr }) => stdout + stderr)
  // which of them held it is not known, and the other may have come when all was over
  assert.ok(
    said.some((each) => new RegExp(`^${id} land: passed; .*\\n${id} is done\\.$`, 'm').test(each)),
    said.join(),
  )
  assert.ok(
    said.every((each) => each.includes(`${id} is done`) && !each.includes('release')),
    said.join(),
  )
  assert.equal((await shop.task(id)).phase, 'done')
  await endsWell(shop)
})

test('told to end twice while it lands: what was begun is done', async () => {
  const { shop, running, id, may } = await landing()
  await using _ = shop
  const hurry = new AbortController()
  const draining = running.drain(hurry.signal)
  hurry.abort()
  await draining
  const down = shop.down()
  may()
  await down
  assert.equal((await shop.task(id)).phase, 'done')
  await endsWell(shop)
})
