/** A pause acts at once on the real daemon: nothing new starts, what is under way goes on or is ended, and resuming starts it at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endsWell } from './ending.ts'
import { approving, implementing, rig, writing } from './rig.ts'

const started = async (shop: Awaited<ReturnType<typeof rig>>, id: string): Promise<number> =>
  (await shop.events(id)).filter(({ type }) => type === 'attempt.admitted').length

test('what is paused does not start while the rest goes on; resumed, it lands', async () => {
  await using shop = await rig({ rules: [writing('Sell tea'), writing('Sell coffee'), approving] })
  await shop.up()
  assert.equal((await shop.type('pause', '--lane', 'background', '--why', 'the release')).code, 0)
  const paused = await shop.add('Sell coffee', { lane: 'background' })
  const other = await shop.add('Sell tea')
  await shop.state(other, 'done')
  assert.equal(await started(shop, paused), 0)
  assert.match(
    await shop.show(paused),
    /^ready: implement is next and does not start: lane background is paused by .*: the release$/m,
  )
  assert.equal((await shop.type('resume', '--lane', 'background')).code, 0)
  await shop.state(paused, 'done')
  await endsWell(shop)
})

test('a pause lets what is under way end and starts nothing after it; with --now it is ended, and starts over once resumed', async () => {
  const asked = Promise.withResolvers<void>()
  let requests = 0
  let teaRequests = Infinity
  await using shop = await rig({
    onRequest: () => {
      if ((requests += 1) > teaRequests) asked.resolve()
    },
    rules: [
      { ...implementing('Sell coffee', { read: { path: 'README.md' } }, { misbehave: 'ignore-term' }), times: 1 },
      writing('Sell coffee'),
      writing('Sell tea'),
      approving,
    ],
  })
  await shop.up()
  const tea = await shop.add('Sell tea')
  await shop.happened(tea, 'attempt.started')
  assert.equal((await shop.type('pause')).code, 0)
  await shop.happened(tea, 'attempt.ended')
  await shop.type('list') // answered after another pass
  assert.equal(await started(shop, tea), 1, 'its verification does not start')
  await shop.type('resume')
  await shop.state(tea, 'done')
  teaRequests = requests

  const coffee = await shop.add('Sell coffee')
  await asked.promise // or nothing of its first attempt is there to end
  assert.match((await shop.type('pause', '--repo', 'shop', '--now')).stdout, /What is under way \(1 attempt\) is ended/)
  const { outcome } = await shop.happened(coffee, 'attempt.ended')
  assert.equal(outcome, 'killed')
  const waiting = await shop.task(coffee)
  assert.deepEqual([waiting.phase, waiting.failures, await started(shop, coffee)], ['open', [], 1])
  await shop.type('resume', '--repo', 'shop')
  await shop.state(coffee, 'done')
  await endsWell(shop)
})
