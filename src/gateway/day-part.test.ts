/** What a family or a repository may cost a day holds inside a request, for itself alone, and may be changed while requests are under way. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { defaultLimits } from '../core/budget.ts'
import { dayOf, familyDay, repoDay } from '../core/day.ts'
import { realWorld } from '../host/world.ts'
import { accountOf } from '../store/account.ts'
import { raiseLimit } from '../store/ledger.ts'
import { askIn } from './canned.ts'
import { answering, setStage, tell, used, type Stage } from './rehearsal.ts'
import type { Dialect } from './route.ts'

const cent = 10_000_000
const day = dayOf(realWorld().clock.now())

/** A provider of both families. */
const both: Parameters<typeof setStage>[0] = (request, response, body) =>
  answering(request.url!.includes('/messages') ? 'anthropic-messages' : 'openai-responses', used)(
    request,
    response,
    body,
  )

async function ask(stage: Stage, dialect: Dialect, key: string): Promise<number> {
  const { path, body } = askIn(dialect, true, {}, 2000)
  const headers: Record<string, string> =
    dialect === 'anthropic-messages' ? { 'x-api-key': key } : { authorization: `Bearer ${key}` }
  return (await tell(stage.gateway, { path, headers, body })).status
}

/** Asks until it is refused; how often it was not. */
async function exhaust(stage: Stage, dialect: Dialect, key: string): Promise<number> {
  for (let times = 0; times < 200; times++) if ((await ask(stage, dialect, key)) !== 200) return times
  throw new Error('nothing stops it')
}

const account = (stage: Stage, scope: string) => stage.database.read((reader) => accountOf(reader, scope))

test("a family's limit of the day stops its requests before it is passed, other families go on, and a raise lets it go on", async () => {
  await using stage = await setStage(both, { limits: { familiesNanoUsd: { openai: 5 * cent } } })
  const own = await stage.enter('openai-responses', { lane: 'critical' })
  const other = await stage.enter('anthropic-messages')
  assert.ok((await exhaust(stage, 'openai-responses', own.key)) > 0)
  const scope = familyDay(day, 'openai')
  const { verdict, scope: reached } = stage.gateway.report(own.attempt)
  assert.deepEqual([verdict, reached], ['over-budget', scope])
  const spent = await account(stage, scope)
  assert.ok(spent!.spent > 0 && spent!.spent <= 5 * cent && spent!.held === 0, JSON.stringify(spent))
  assert.equal(await ask(stage, 'anthropic-messages', other.key), 200)
  assert.ok((await account(stage, familyDay(day, 'anthropic')))!.spent > 0, 'counted without a limit, too')
  await stage.database.write((tx) => raiseLimit(tx, scope, 100 * cent))
  assert.equal(await ask(stage, 'openai-responses', own.key), 200)
})

test("a repository's limit stops its requests whatever family they ask, and one that is changed holds for what is under way", async () => {
  await using stage = await setStage(both, { limits: { repositoriesNanoUsd: { shop: 5 * cent } } })
  const own = await stage.enter('openai-responses')
  const other = await stage.enter('openai-responses', { repo: 'repo_2', repoName: 'mill' })
  assert.ok((await exhaust(stage, 'openai-responses', own.key)) > 0)
  const scope = repoDay(day, 'repo_1')
  assert.equal(stage.gateway.report(own.attempt).scope, scope)
  assert.ok((await account(stage, scope))!.spent <= 5 * cent)
  assert.equal(await ask(stage, 'openai-responses', other.key), 200)
  const { dayNanoUsd, pace } = defaultLimits
  await stage.gateway.adjust({
    dayNanoUsd,
    pace,
    repositoriesNanoUsd: { shop: 9 * cent, mill: 0 },
    familiesNanoUsd: {},
  })
  assert.deepEqual(
    [(await account(stage, scope))!.limit, (await account(stage, repoDay(day, 'repo_2')))!.limit],
    [9 * cent, 0],
    'at once, not with the next request',
  )
  assert.equal(await ask(stage, 'openai-responses', own.key), 200)
  assert.notEqual(await ask(stage, 'openai-responses', other.key), 200)
  assert.equal(stage.gateway.report(other.attempt).scope, repoDay(day, 'repo_2'))
})
