import assert from 'node:assert/strict'
import test from 'node:test'
import { dayEnd, dayOf, familyDay, repoDay } from '../core/day.ts'
import { snapshot } from '../core/fixture.ts'
import { defaultSettings } from '../core/setting.ts'
import { append } from '../store/append.ts'
import { openDatabase } from '../store/database.ts'
import { raiseLimit, setLimit } from '../store/ledger.ts'
import { closeUsedUp, readDayParts } from './day-part.ts'

const at = 1_795_536_000_000 // 2026-11-24, 16:00 UTC
const day = dayOf(at)
const until = dayEnd(at)

test('each that has a limit is seen with what it spent, holds and was given today; two repositories of one name have one each', async (t) => {
  const database = openDatabase(':memory:')
  t.after(() => database.close())
  const spent = { [repoDay(day, 'repo_1')]: 96, [repoDay(day, 'repo_2')]: 79, [familyDay(day, 'openai')]: 85 }
  await database.write(async (tx) => {
    for (const id of ['repo_1', 'repo_2']) {
      const event = { type: 'repo.registered' as const, repo: id, path: `/${id}`, name: 'shop', base: 'main' }
      await append(tx, { at, actor: 'person:ada', stream: `repo/${id}`, events: [event] })
    }
    for (const [scope, nanoUsd] of Object.entries(spent)) {
      await setLimit(tx, scope, null)
      await tx.run('update account set spent_nano_usd = :nanoUsd - 5, held_nano_usd = 5 where scope = :scope', {
        scope,
        nanoUsd,
      })
    }
  })
  const { money } = defaultSettings(4)
  const limits = { repositoriesNanoUsd: { shop: 100, mill: 1 }, familiesNanoUsd: { openai: 100, google: 0 } }
  const parts = (more: object) => database.read((reader) => readDayParts(reader, { money: { ...money, ...more } }, at))
  assert.deepEqual(await parts({}), { until, repos: {}, families: {} }, 'without a limit nothing is used up')
  const used = { repos: { repo_1: 'closed' }, families: { openai: 'background-stops', google: 'closed' } }
  assert.deepEqual(await parts(limits), { until, ...used })
  await database.write((tx) => raiseLimit(tx, repoDay(day, 'repo_1'), 100))
  assert.deepEqual(await parts(limits), { until, ...used, repos: {} })
})

test('a family whose day is used up is closed until the next day, from when it was seen first, unless it is closed for longer', () => {
  const { families } = snapshot([])
  const since = new Map<string, number>()
  const look = (now: number, step: 'closed' | 'normal-stops', states = families) =>
    closeUsedUp(states, { until, repos: {}, families: { openai: step } }, since, now)
  look(at - 7, 'closed')
  const seen = look(at, 'closed')
  assert.deepEqual(
    seen.filter(({ closedUntil }) => closedUntil !== null).map(({ family }) => family),
    ['openai'],
  )
  const openai = seen.find(({ family }) => family === 'openai')!
  assert.deepEqual([openai.closedUntil, openai.closedSince], [until, at - 7])
  assert.match(openai.closedWhy!, /^today's budget for openai is used up \(tri-agent budget raise family openai 5\)$/)
  const keyless = families.map((each) => ({ ...each, closedUntil: Infinity, closedSince: 1, closedWhy: 'no key' }))
  assert.deepEqual(look(at, 'closed', keyless), keyless)
  assert.deepEqual(look(at, 'normal-stops'), families)
  assert.equal(look(at + 9, 'closed').find(({ family }) => family === 'openai')!.closedSince, at + 9)
})
