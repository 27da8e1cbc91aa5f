import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import fc from 'fast-check'
import { defaultLimits, scopePath, type Grant } from '../core/budget.ts'
import { familyDay, repoDay } from '../core/day.ts'
import { noTokens, type Tokens } from '../core/price.ts'
import { isRefusal } from '../core/refusal.ts'
import { openDatabase, type Database } from './database.ts'
import {
  chargeInput,
  extendHold,
  type Extension,
  grantKey,
  hashKey,
  keyOwner,
  placeHold,
  raiseLimit,
  recoverHolds,
  revokeAllKeys,
  revokeKeys,
  setLimit,
  settleHold,
  type HoldAsk,
} from './ledger.ts'
import { accountOf, accountsOf, spentBy, totalsBy } from './account.ts'
import { migrations } from './migrate.ts'

const grant: Grant = {
  attempt: 'attempt_1',
  task: 'task_1',
  repo: 'repo_1',
  repoName: 'shop',
  stage: 'implement',
  lane: 'normal',
  family: 'anthropic',
  models: ['claude-opus-5-5'],
  grantedAt: 1,
  scope: 'task/task_1',
  limitNanoUsd: 1000,
}
const day = '2026-11-24'
const limits = { ...defaultLimits, dayNanoUsd: 1500 }
/** Another repository's work by another family, for the same root task. */
const other: Grant = { ...grant, attempt: 'attempt_2', repo: 'repo_2', repoName: 'mill', family: 'openai' }

/** One nano-dollar an output token, so that sums can be read. */
const askFor = (input: number, output: number, other: Partial<HoldAsk> = {}): HoldAsk => ({
  keyHash: hashKey('key-1'),
  grant,
  model: 'claude-opus-5-5',
  path: scopePath(grant, limits, day),
  inputNanoUsd: input,
  inputTokens: input,
  outputRate: 1e6,
  leastTokens: output,
  mostTokens: output,
  at: 5,
  day,
  ...other,
})

async function ledger(): Promise<Database> {
  const database = openDatabase(':memory:')
  await database.write(async (tx) => {
    await grantKey(tx, 'key-1', grant)
    await setLimit(tx, grant.scope, grant.limitNanoUsd)
  })
  return database
}

const tokens = (input: number, output: number): Tokens => ({ ...noTokens, input, output })

test('a hold stands on every account of its path, or on none of them', async () => {
  const database = await ledger()
  await database.write(async (tx) => {
    assert.deepEqual(await placeHold(tx, askFor(100, 500)), { hold: 1, tokens: 500, lifetime: 1000 })
    const later = await placeHold(tx, askFor(100, 301))
    assert.ok(
      'waits' in later && later.waits === 'holds' && later.refusal.scope === 'task/task_1',
      'the 600 may come back',
    )
    const refusal = await placeHold(tx, askFor(100, 901))
    assert.ok('scope' in refusal && refusal.refused === 'over-budget' && refusal.scope === 'task/task_1')
  })
  const accounts = await Promise.all(
    scopePath(grant, limits, day).map(({ scope }) => database.read((reader) => accountOf(reader, scope))),
  )
  assert.deepEqual(
    accounts.map((account) => [account!.scope, account!.limit, account!.spent, account!.held]),
    [
      ['total', null, 0, 600],
      [`day/${day}`, 1500, 0, 600],
      [`day/${day}/repo/repo_1`, null, 0, 600],
      [`day/${day}/family/anthropic`, null, 0, 600],
      ['task/task_1', 1000, 0, 600],
      ['attempt/attempt_1', null, 0, 600],
    ],
  )
})

test('a new key of a task leaves what the task may spend as it is', async () => {
  const database = await ledger()
  await database.write((tx) => setLimit(tx, grant.scope, 400))
  await database.write((tx) => grantKey(tx, 'key-2', { ...grant, attempt: 'attempt_2' }))
  assert.equal((await database.read((reader) => accountOf(reader, grant.scope)))?.limit, 400)
})

test('a hold that may be smaller takes what fits', async () => {
  const database = await ledger()
  const placed = await database.write((tx) => placeHold(tx, askFor(100, 0, { leastTokens: 10, mostTokens: 65_536 })))
  assert.deepEqual(placed, { hold: 1, tokens: 900, lifetime: 1000 })
})

test('input is charged when it is known, and settling charges the rest once', async () => {
  const database = await ledger()
  await database.write((tx) => placeHold(tx, askFor(400, 500)))
  await database.write((tx) => chargeInput(tx, 1, 90, tokens(90, 0), 1))
  assert.deepEqual(await database.read((reader) => accountOf(reader, 'task/task_1')), {
    scope: 'task/task_1',
    limit: 1000,
    spent: 90,
    held: 500,
  })
  const extend = (...sizes: [Extension, ...Extension[]]) =>
    database.write((tx) => extendHold(tx, 1, sizes, { lane: 'normal', at: 1 }))
  const whole = { nanoUsd: 410, outputTokens: 910 }
  assert.deepEqual(await extend(whole), whole)
  assert.ok(isRefusal(await extend({ nanoUsd: 1, outputTokens: 911 })))
  const settlement = { nanoUsd: 290, tokens: tokens(90, 200), how: 'exact', at: 9 } as const
  assert.equal(await database.write((tx) => settleHold(tx, 1, settlement)), true)
  assert.equal(await database.write((tx) => settleHold(tx, 1, settlement)), false)
  assert.ok(isRefusal(await extend({ nanoUsd: 1, outputTokens: 1 })))
  await database.write((tx) => chargeInput(tx, 1, 5000, tokens(5000, 0), 1))
  assert.deepEqual(await database.read((reader) => accountOf(reader, 'task/task_1')), {
    scope: 'task/task_1',
    limit: 1000,
    spent: 290,
    held: 0,
  })
  assert.deepEqual(await database.read((reader) => totalsBy(reader, 'task')), [
    { name: 'task_1', requests: 1, input: 90, cachedInput: 0, cacheWrite: 0, output: 200, nanoUsd: 290 },
  ])
})

test('an extension takes an eighth of what is left at most, or the smallest there is: the rest is for the others', async () => {
  const database = await ledger()
  const sizes = [400, 100, 25].map((nanoUsd) => ({ nanoUsd, outputTokens: nanoUsd })) as [Extension, ...Extension[]]
  const extend = () => database.write((tx) => extendHold(tx, 1, sizes, { lane: 'normal', at: 1 }))
  await database.write((tx) => placeHold(tx, askFor(0, 100))) // of 1000
  const taken: number[] = []
  for (let more = await extend(); ; more = await extend()) {
    if (isRefusal(more)) break
    taken.push(more.nanoUsd)
  }
  assert.deepEqual([taken[0], taken.at(-1), taken.reduce((sum, each) => sum + each, 0)], [100, 25, 900])
})

test('what a dead daemon held is charged in full, on the day it was held', async () => {
  const database = await ledger()
  await database.write((tx) => placeHold(tx, askFor(100, 200)))
  await database.write((tx) => placeHold(tx, askFor(100, 300)))
  await database.write((tx) => chargeInput(tx, 2, 50, tokens(50, 0), 1))
  assert.deepEqual(await database.write((tx) => recoverHolds(tx, 9)), { holds: 2, nanoUsd: 650 })
  assert.deepEqual(await database.write((tx) => recoverHolds(tx, 9)), { holds: 0, nanoUsd: 0 })
  assert.deepEqual(await database.read((reader) => accountOf(reader, `day/${day}`)), {
    scope: `day/${day}`,
    limit: 1500,
    spent: 650,
    held: 0,
  })
  assert.equal(await database.read((reader) => spentBy(reader, 'nobody')), 0)
  const [total] = await database.read((reader) => totalsBy(reader, 'day', { from: day, to: day }))
  assert.deepEqual(total, {
    name: day,
    requests: 2,
    input: 150,
    cachedInput: 0,
    cacheWrite: 0,
    output: 500,
    nanoUsd: 650,
  })
})

test('a revoked key holds nothing, and no table has the key itself', async () => {
  const database = await ledger()
  await database.write((tx) => grantKey(tx, 'key-2', { ...grant, attempt: 'attempt_2' }))
  assert.equal(await database.read((reader) => keyOwner(reader, hashKey('key-2'))), 'attempt_2')
  await database.write((tx) => revokeKeys(tx, 'attempt_2', 7))
  assert.equal(await database.read((reader) => keyOwner(reader, hashKey('key-2'))), undefined)
  assert.equal(await database.read((reader) => keyOwner(reader, hashKey('key-1'))), 'attempt_1')
  const stolen = await database.write((tx) =>
    placeHold(tx, askFor(1, 1, { grant: { ...grant, attempt: 'attempt_3' } })),
  )
  assert.ok(isRefusal(stolen) && stolen.refused === 'key-revoked')
  await database.write((tx) => revokeAllKeys(tx, 8))
  const late = await database.write((tx) => placeHold(tx, askFor(1, 1)))
  assert.ok(isRefusal(late) && late.refused === 'key-revoked')
  assert.ok(!JSON.stringify(await database.read((reader) => reader.all('select * from virtual_key'))).includes('key-1'))
})

test('what was spent and is held before repositories and families had accounts is in them after the upgrade', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-ledger-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const before = migrations().findIndex(({ name }) => name.endsWith('-day-parts.sql'))
  const old = new DatabaseSync(path)
  for (const { sql } of migrations().slice(0, before)) old.exec(sql)
  const whose = `'a', 't', 'repo_1', 'implement', 'openai', 'm'`
  old.exec(
    `insert into charge values (101, ${whose}, 1, 0, 0, 1, 500, 'exact', 5, '${day}'), (102, ${whose}, 1, 0, 0, 1, 70, 'exact', 5, '${day}')`,
  )
  old.exec(`insert into account (scope, spent_nano_usd, held_nano_usd) values ('total', 600, 40)`)
  old.exec(
    `insert into hold (attempt, task, repo, stage, family, model, scopes, input_nano_usd, output_nano_usd, charged_nano_usd, tokens, at, day)
     values (${whose}, '["total"]', 10, 30, 30, '{}', 5, '${day}')`,
  )
  old.exec(`pragma user_version = ${before}; pragma application_id = ${0x54524941}`)
  old.close()
  const database = openDatabase(path)
  const scopes = ['total', repoDay(day, 'repo_1'), familyDay(day, 'openai')]
  const sums = async () =>
    (await database.read((reader) => accountsOf(reader, scopes))).map((each) => [each?.spent, each?.held])
  assert.deepEqual(await sums(), Array(3).fill([600, 40]))
  await database.write((tx) => recoverHolds(tx, 9))
  assert.deepEqual(await sums(), Array(3).fill([640, 0]))
  database.close()
})

test('a charge can be neither changed nor deleted', async () => {
  const database = await ledger()
  await database.write((tx) => placeHold(tx, askFor(1, 1)))
  await database.write((tx) => settleHold(tx, 1, { nanoUsd: 1, tokens: noTokens, how: 'free', at: 1 }))
  await assert.rejects(
    database.write((tx) => tx.run('update charge set nano_usd = 0')),
    /append-only/,
  )
  await assert.rejects(
    database.write((tx) => tx.run('delete from charge')),
    /append-only/,
  )
})

type Step =
  | { do: 'place'; whose: Grant; input: number; least: number; most: number }
  | { do: 'extend'; hold: number; by: number }
  | { do: 'input'; hold: number; share: number }
  | { do: 'settle'; hold: number; share: number }
  | { do: 'recover' }
  | { do: 'limit'; more: number }

const amount = fc.nat(400)
const share = fc.integer({ min: 0, max: 100 })
const hold = fc.nat(12)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('place' as const),
      whose: fc.constantFrom(grant, other),
      input: amount,
      least: amount,
      most: fc.nat(2000),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('extend' as const), hold, by: amount }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('input' as const), hold, share }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), hold, share }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('recover' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('limit' as const), more: amount }) },
)

/** In each of which the steps come to an end. */
const narrow = { ...limits, repositoriesNanoUsd: { shop: 700, mill: 900 }, familiesNanoUsd: { openai: 500 } }

async function take(database: Database, each: Step): Promise<void> {
  const held = async (id: number) =>
    database.read((reader) =>
      reader.get<{ input: number; output: number; charged: number }>(
        `select input_nano_usd as input, output_nano_usd as output, charged_nano_usd as charged from hold where id = :id`,
        { id },
      ),
    )
  await database.write(async (tx) => {
    if (each.do === 'place')
      return placeHold(
        tx,
        askFor(each.input, 0, {
          keyHash: hashKey(each.whose === grant ? 'key-1' : 'key-2'),
          grant: each.whose,
          path: scopePath(each.whose, narrow, day),
          leastTokens: each.least,
          mostTokens: Math.max(each.least, each.most),
        }),
      )
    if (each.do === 'extend')
      return extendHold(tx, each.hold, [{ nanoUsd: each.by, outputTokens: each.by }], { lane: 'normal', at: 1 })
    if (each.do === 'recover') return recoverHolds(tx, 9)
    if (each.do === 'limit') return setLimit(tx, 'task/task_1', 1000 + each.more)
    const row = await held(each.hold)
    if (!row) return
    const part = (whole: number) => Math.floor((whole * each.share) / 100)
    if (each.do === 'input') return row.input > 0 ? chargeInput(tx, each.hold, part(row.input), noTokens, 1) : undefined
    const nanoUsd = row.charged + part(row.input) + part(row.output)
    return settleHold(tx, each.hold, { nanoUsd, tokens: noTokens, how: 'exact', at: 1 })
  })
}

const check = (database: Database) =>
  database.read(async (reader) => {
    const accounts = await reader.all<{ scope: string; limit: number | null; spent: number; held: number }>(
      `select scope, limit_nano_usd as "limit", spent_nano_usd as spent, held_nano_usd as held from account`,
    )
    for (const { scope, limit, spent, held } of accounts) {
      assert.ok(limit === null || spent + held <= limit, `${scope}: ${spent} + ${held} > ${limit}`)
      const [sums] = await reader.all<{ held: number; spent: number }>(
        `with mine as (select input_nano_usd + output_nano_usd as held, charged_nano_usd as spent, attempt, repo, family from hold
                       union all select 0, nano_usd, attempt, repo, family from charge)
         select coalesce(sum(held), 0) as held, coalesce(sum(spent), 0) as spent from mine
         where :scope in ('total', 'task/task_1', 'attempt/' || attempt, 'day/' || :day, 'day/' || :day || '/repo/' || repo, 'day/' || :day || '/family/' || family)`,
        { scope, day },
      )
      assert.deepEqual({ scope, held, spent }, { scope, ...sums })
    }
  })

test('what a repository or a family may cost a day stops it, and no other; a raise lets it go on', async () => {
  const database = await ledger()
  await database.write((tx) => grantKey(tx, 'key-2', other))
  const place = (whose: Grant, output: number, most: Partial<typeof limits>) =>
    database.write((tx) =>
      placeHold(tx, {
        ...askFor(0, output, { grant: whose, path: scopePath(whose, { ...limits, ...most }, day) }),
        keyHash: hashKey(whose === grant ? 'key-1' : 'key-2'),
      }),
    )
  const scopeOf = (said: Awaited<ReturnType<typeof place>>) => ('scope' in said ? said.scope : said)
  const family = `day/${day}/family/openai`
  const most = { familiesNanoUsd: { openai: 300 }, repositoriesNanoUsd: { shop: 500 } }
  assert.equal(scopeOf(await place(other, 271, most)), family, 'normal work leaves a tenth to critical work')
  assert.ok('hold' in (await place(other, 270, most)))
  assert.ok('hold' in (await place(grant, 450, most)), 'another family goes on')
  const full = await place(grant, 451, most)
  assert.equal(scopeOf(full), `day/${day}/repo/repo_1`)
  assert.equal('hint' in full && full.hint, 'tri-agent budget raise repository repo_1 5')
  await database.write((tx) => raiseLimit(tx, family, 100))
  assert.ok('hold' in (await place(other, 90, most)))
  assert.deepEqual(await database.read((reader) => accountOf(reader, family)), {
    scope: family,
    limit: 400,
    spent: 0,
    held: 360,
  })
  database.close()
})

test('under any schedule no account goes over its limit, and every account is the sum of its holds and charges', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const database = await ledger()
      await database.write((tx) => grantKey(tx, 'key-2', other))
      for (const each of steps) {
        // A limit may be raised, never lowered below what is promised: so it only grows within one story.
        await take(database, each.do === 'limit' ? { ...each, more: 400 } : each)
        await check(database)
      }
      database.close()
    }),
    { numRuns: 150 },
  )
})
