/** At a limit of money a task is parked with its work, and goes on with it: when a person raises the limit, or when a breaker closes again. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { closeTheBreaker, raiseTaskBudget } from '../../src/command/budget.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, rig, type Rig } from './rig.ts'

const cent = 10_000_000
const files = { 'stock.txt': 'beans\n'.repeat(10_000) }
const stopped = 'You were stopped at a budget limit'

/** Writes a file, then reads something long over and over until the money is over. */
const spending = {
  ...implementing(
    'Sell coffee',
    { write: { path: 'coffee.txt', content: 'coffee\n' } },
    ...Array.from({ length: 60 }, () => ({ read: { path: 'stock.txt' } })),
    { say: 'Done.' },
  ),
  not: [stopped],
}
/** Writes nothing more: what lands was made before the stop. */
const goingOn = { when: ['# Implement', stopped], steps: [{ say: 'It was all there.' }] }

const archivesOf = ({ paths }: Rig) => (existsSync(paths.archives) ? readdirSync(paths.archives) : [])

test('a task that exhausts its budget is parked with its work, and lands it once a person raises the budget', async () => {
  await using shop = await rig({ files, config: { unattended: true }, rules: [spending, goingOn, approving] })
  await shop.up()
  const id = await shop.add('Sell coffee', { budgetNanoUsd: 50 * cent })
  const parked = await shop.state(id, 'parked', 'escalated', 'done')
  assert.equal(parked.phase, 'parked', parked.why ?? '')
  const { attempt, scope, until, archive } = await shop.happened(id, 'task.parked')
  assert.deepEqual([scope, until, archive?.attempt], [`task/${id}`, null, attempt])
  assert.deepEqual(archivesOf(shop), [attempt])
  for (const each of ['', 'list.json', 'work.bundle'])
    assert.equal(statSync(join(shop.paths.archives, attempt, each)).mode & 0o077, 0, `${each} is ours alone`)
  assert.match(await shop.show(id), /parked[\s\S]*tri-agent budget raise task_/)
  const asked = shop.provider.requests.length
  const raised = await raiseTaskBudget(shop.ports, id, 500 * cent, 0)
  assert.ok(!isRefusal(raised))
  assert.deepEqual(raised, { scope: `task/${id}`, limitNanoUsd: 550 * cent, resumed: [id] })
  shop.look()
  const done = await shop.state(id, 'done', 'escalated', 'parked')
  assert.equal(done.phase, 'done', done.why ?? '')
  assert.ok(shop.provider.requests.length > asked)
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'coffee')
  await endsWell(shop)
})

test('what was sealed and is not as it was is not gone on with', async () => {
  const again = { ...spending, not: [], times: 1 }
  const anew = implementing('Sell coffee', { write: { path: 'anew.txt', content: 'anew\n' } }, { say: 'Done.' })
  await using shop = await rig({ files, config: { unattended: true }, rules: [again, anew, approving] })
  await shop.up()
  const id = await shop.add('Sell coffee', { budgetNanoUsd: 50 * cent })
  await shop.state(id, 'parked', 'escalated', 'done')
  const { attempt } = await shop.happened(id, 'task.parked')
  writeFileSync(join(shop.paths.archives, attempt, 'work.bundle'), 'other bytes')
  await raiseTaskBudget(shop.ports, id, 500 * cent, 0)
  shop.look()
  await shop.state(id, 'done', 'escalated', 'parked')
  assert.match(await shop.git('ls-tree', '--name-only', 'tri-agent/landing'), /^anew\.txt$/m)
  assert.doesNotMatch(await shop.git('ls-tree', '--name-only', 'tri-agent/landing'), /coffee/)
  await endsWell(shop)
})

test('spend that nothing was held for trips the breaker: the task is parked with its work, and goes on once it closes', async () => {
  const money = { minute: '$0.10' }
  const billed = { input: 400_000 } // whatever was asked
  const dear = implementing(
    'Sell coffee',
    { write: { path: 'coffee.txt', content: 'coffee\n' } },
    { read: { path: 'stock.txt' }, usage: billed },
    { say: 'Done.' },
  )
  const rules = [{ ...dear, not: [stopped] }, goingOn, approving]
  await using shop = await rig({ files, config: { unattended: true, money }, rules })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'parked', 'escalated', 'done')
  const { scope, why, until, archive } = await shop.happened(id, 'task.parked')
  assert.deepEqual([scope, typeof until, archive?.files], ['minute', 'number', 1], why)
  assert.match(why, /^the breaker has tripped: \$\d\.\d+ was billed within 60 seconds that nothing had been held for/)
  const waiting = await shop.add('Sell tea')
  await shop.until('the daemon to have looked', async (reader) => {
    const row = await reader.get<{ said: string }>('select circumstances as said from daemon')
    return row?.said.includes('was billed')
  })
  assert.equal((await shop.task(waiting)).token, 0, 'nothing that asks a model starts')
  assert.match(await shop.show(waiting), /does not start: the breaker has tripped/)
  assert.deepEqual(await closeTheBreaker(shop.ports), [id])
  shop.look()
  const done = await shop.state(id, 'done', 'escalated', 'parked')
  assert.equal(done.phase, 'done', done.why ?? '')
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'coffee')
  await endsWell(shop)
})
