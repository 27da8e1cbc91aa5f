/** Money and providers on the wire: nothing is spent past a limit, what has no price is not asked, and a provider's troubles get the outcome that fits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dayOf } from '../../src/core/day.ts'
import { accountOf } from '../../src/store/account.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, models, rig, world, writing, type Rig } from './rig.ts'

const once = { retry: { attempts: 1, first: '20ms', cap: '40ms' } }
const cent = 10_000_000

/** Reads something long over and over, so that each request is dearer than the last. */
const chatting = implementing('Sell coffee', ...Array.from({ length: 30 }, () => ({ read: { path: 'stock.txt' } })), {
  say: 'Done.',
})
const files = { 'stock.txt': 'beans\n'.repeat(10_000) }

const spentOn = async (shop: Rig, scope: string) => {
  const account = await shop.database.read((reader) => accountOf(reader, scope))
  return { spent: account?.spent ?? 0, held: account?.held ?? 0 }
}

/** The last end of an attempt. */
async function endOf(shop: Rig, id: string) {
  const ended = (await shop.events(id)).findLast((event) => event.type === 'attempt.ended')
  return { outcome: ended?.outcome, reason: ended?.reason ?? '' }
}

test('a task stops at its own budget: over-budget, nothing spent past it, and a person sees both', async () => {
  await using shop = await rig({ files, rules: [chatting, approving] })
  await shop.up()
  const id = await shop.add('Sell coffee', { budgetNanoUsd: 50 * cent })
  await shop.state(id, 'parked', 'escalated', 'done')
  const { outcome, reason } = await endOf(shop, id)
  assert.equal(outcome, 'over-budget')
  assert.match(reason, /BUDGET|budget/)
  const { spent, held } = await spentOn(shop, `task/${id}`)
  assert.ok(spent <= 50 * cent && spent > 10 * cent && held === 0, `${spent} of ${50 * cent}, ${held} held`)
  assert.equal((await shop.task(id)).costNanoUsd, spent)
  const shown = await shop.show(id)
  assert.match(shown, /^parked: stopped at a limit with its work kept: the budget of task\/task_/m)
  assert.match(shown, /of \$0\.5000 spent/)
  await endsWell(shop)
})

test('parts draw on what their root may spend, and a repository may make that less', async () => {
  const plan = {
    approach: 'In two.',
    files: [],
    acceptance: [],
    subTasks: ['Sell coffee', 'Sell tea'].map((title) => ({ title, text: '' })),
  }
  const yaml = { gates: [{ name: 'test', command: 'sh test.sh' }], money: { task: '$0.40' } }
  await using shop = await rig({
    files,
    yaml,
    rules: [
      { when: ['# Plan'], steps: [{ json: plan }] },
      { ...chatting, when: ['# Implement'] },
    ],
  })
  await shop.up()
  const [given, usual] = [
    await shop.add('Sell drinks', { size: 'large', budgetNanoUsd: 60 * cent }),
    await shop.add('Sell more', { size: 'large' }),
  ]
  await shop.until('all parts to stop', async (reader) => {
    const rows = await reader.all<{ state: string }>('select state from task where parent is not null')
    return rows.length === 4 && rows.every(({ state }) => state === 'parked')
  })
  for (const [root, most] of [
    [given, 60],
    [usual, 40],
  ] as const) {
    const { spent } = await spentOn(shop, `task/${root}`)
    assert.ok(spent > 10 * cent && spent <= most * cent, `${spent} of ${most * cent}`)
  }
  await endsWell(shop)
})

test('a day stops at its budget: what runs is parked until the next one, what waits is not begun and says why', async () => {
  await using shop = await rig({
    files,
    config: { ...once, money: { day: '$0.50' } },
    rules: [chatting, writing('Sell tea'), approving],
  })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'parked', 'escalated', 'done')
  assert.equal((await endOf(shop, id)).outcome, 'over-budget')
  const { scope, until } = await shop.happened(id, 'task.parked')
  const today = dayOf(world.clock.now())
  assert.deepEqual([scope, dayOf(until! - 1), dayOf(until!) > today], [`day/${today}`, today, true])
  const { spent } = await spentOn(shop, `day/${dayOf(world.clock.now())}`)
  assert.ok(spent > 10 * cent && spent <= 50 * cent, `${spent} of ${50 * cent}`)
  await endsWell(shop)
})

test('a model of another family is refused before anything leaves, never asked for $0', async () => {
  await using shop = await rig({
    config: once,
    rules: [writing('Sell coffee'), approving],
    models: { openai: models.google },
  })
  await shop.up()
  const id = await shop.add('Sell coffee')
  const task = await shop.state(id, 'escalated', 'done')
  const { outcome, reason } = await endOf(shop, id)
  assert.deepEqual([task.phase, outcome], ['escalated', 'refused'])
  assert.ok(reason.includes(models.google))
  assert.deepEqual(shop.provider.requests, [])
  await endsWell(shop)
})

test('a model nobody knows is asked for nothing, never for $0: its family waits for a price, then a person is asked', async () => {
  const model = 'gpt-99-unheard-of'
  await using shop = await rig({
    families: ['openai'],
    config: { ...once, review: { family: '1s' } },
    rules: [writing('Sell coffee'), approving],
    models: { openai: model },
  })
  await shop.up()
  const id = await shop.add('Sell coffee', { tags: ['family:openai'] })
  const { phase, why, evidence } = await shop.state(id, 'escalated', 'done')
  const wanted = `the price of ${model} is unknown or too old (tri-agent prices check)`
  assert.deepEqual([phase, why, evidence], ['escalated', 'waited 1s for openai', wanted])
  assert.deepEqual(shop.provider.requests, [])
  const checked = await shop.type('prices', 'check')
  assert.match(
    checked.stderr.replaceAll(/\s+/g, ' '),
    new RegExp(`tri-agent prices set ${model} --input USD --output USD`),
  )
  await endsWell(shop)
})

const faults = { match: 'POST', family: 'openai' }
for (const [what, fault, outcome] of [
  ['breaks for ever', { ...faults, status: 500 }, 'unreachable'],
  ['refuses the key', { ...faults, status: 401 }, 'refused'],
  ['never answers', { ...faults, action: 'hang' }, 'unreachable'],
] as const)
  test(`a provider that ${what}: ${outcome}, then a person`, async () => {
    const config = { ...once, patience: { provider: '500ms' } }
    await using shop = await rig({ config, rules: [writing('Sell coffee'), approving] })
    shop.provider.setFaults([fault])
    await shop.up()
    const id = await shop.add('Sell coffee')
    await shop.state(id, 'escalated', 'done')
    assert.equal((await endOf(shop, id)).outcome, outcome)
    await endsWell(shop)
  })

test('a family that is closed for an hour fails no task: another does the work, and a person is asked for its review', async () => {
  const short = { ...once, review: { family: '1s' } } // how long it is waited for
  await using shop = await rig({ config: short, rules: [writing('Sell coffee'), approving] })
  shop.provider.setFaults([{ ...faults, status: 429, headers: { 'retry-after': '3600' } }])
  await shop.up()
  const id = await shop.add('Sell coffee')
  const task = await shop.state(id, 'escalated', 'done')
  const ends = (await shop.events(id)).flatMap((event) => (event.type === 'attempt.ended' ? [event.outcome] : []))
  assert.deepEqual([task.phase, ends[0], ends.includes('passed')], ['escalated', 'rate-limited', true])
  assert.match(JSON.stringify(task), /waited 1s for openai/)
  await endsWell(shop)
})

test('a provider that stumbles now and then costs nothing but patience', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), approving] })
  shop.provider.setFaults([
    { match: 'POST', status: 429, headers: { 'retry-after': '0' }, times: 1 },
    { match: 'POST', status: 529, times: 1, after: 1 },
    { match: 'POST', action: 'reset', times: 1, after: 2 },
    { match: 'POST', action: 'cut', times: 1, after: 3 },
  ])
  await shop.up()
  const id = await shop.add('Sell coffee')
  const task = await shop.state(id, 'escalated', 'done')
  assert.equal(task.phase, 'done')
  await endsWell(shop)
})
