/** What is refused before it is held for: a second family, a price that nobody can trust any more. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { added } from '../core/fixture.ts'
import { realWorld } from '../host/world.ts'
import { accountOf } from '../store/account.ts'
import { append } from '../store/append.ts'
import { grantKey, setLimit } from '../store/ledger.ts'
import { askIn } from './canned.ts'
import { loadPrices } from './prices.ts'
import { answering, setStage, tell, used } from './rehearsal.ts'

test('an attempt that asks for a model of a second family is void: nothing more of it is let in, and its report says why', async () => {
  await using stage = await setStage(answering('anthropic-messages', used))
  const { key, attempt } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  const ask = (sent: string) => tell(stage.gateway, { path, headers: { 'x-api-key': key }, body: sent })
  assert.equal((await ask(body.replace('claude-opus-5-5', 'mystery-1'))).status, 403)
  assert.equal((await ask(body)).status, 200, 'a model that nobody knows is no second family')
  assert.equal((await ask(body.replace('claude-opus-5-5', 'gpt-6-sol'))).status, 403)
  const last = await ask(body)
  assert.equal(last.status, 403)
  assert.match(last.body.toString(), /nothing of this attempt counts any more: .* gpt-6-sol is of openai/)
  assert.equal(stage.provider.arrived.length, 1)
  assert.equal(stage.gateway.report(attempt).voided, 'this key is for models of anthropic, and gpt-6-sol is of openai')
})

test('a price that was looked up too long ago is refused with the command that confirms it, and one of today is not', async () => {
  const at = { ms: 1_799_323_200_000 } // noon of 7 January 2027
  const real = realWorld()
  const world = { ...real, clock: { ...real.clock, now: () => at.ms } }
  const prices = loadPrices({}, { confirmed: new Map(), mostDays: 45 })
  await using stage = await setStage(answering('anthropic-messages', used), { over: () => ({ world, prices }) })
  const { key, attempt } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  const ask = () => tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal((await ask()).status, 200, 'after 45 days')
  at.ms += 86_400_000
  const heard = await ask()
  assert.equal(heard.status, 403)
  const { error } = JSON.parse(heard.body.toString()) as { error: { message: string } }
  assert.equal(
    error.message,
    'REFUSED: the price of claude-opus-5-5 was looked up 46 days ago (2026-11-23), and prices change; tri-agent prices explain claude-opus-5-5; where the vendor says the same: tri-agent prices confirm claude-opus-5-5',
  )
  assert.equal(stage.provider.arrived.length, 1)
  assert.equal(stage.gateway.report(attempt).verdict, 'refused')
})

test('a budget that a person raises between an attempt’s admission and its first request is not lowered again', async () => {
  await using stage = await setStage(answering('anthropic-messages', used))
  const { database, gateway } = stage
  const grant = {
    attempt: 'attempt_late',
    task: 'task_1',
    repo: 'repo_1',
    repoName: 'shop',
    stage: 'implement',
    lane: 'normal',
    family: 'anthropic',
    models: [],
    grantedAt: 1,
    scope: 'task/task_1',
    limitNanoUsd: 10_000_000_000,
  } as const
  const raised = 15_000_000_000
  await database.write(async (tx) => {
    const events = [added('task_1'), { type: 'task.budgeted' as const, budgetNanoUsd: raised, by: 'person:ada' }]
    await grantKey(tx, 'vk-late', grant)
    await append(tx, { at: 1, actor: 'person:ada', stream: 'task/task_1', events })
    await setLimit(tx, grant.scope, raised)
  })
  await gateway.open('vk-late', grant)
  assert.equal((await database.read((reader) => accountOf(reader, grant.scope)))?.limit, raised)
})
