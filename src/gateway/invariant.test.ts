/** After every commit no account is over its limit, and at the end the ledger is never below the bill: however streams end. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { seededRandom } from '../../sim/world.ts'
import { realWorld } from '../host/world.ts'
import type { Database } from '../store/database.ts'
import { askIn } from './canned.ts'
import { books, setStage, speak, tell } from './rehearsal.ts'

const world = realWorld()

/** Looks at the books after every commit, as it is seen by others. */
const watching =
  (problems: string[]) =>
  (database: Database): Database => ({
    ...database,
    write: async (body) => {
      const value = await database.write(body)
      const accounts = await database.read((reader) =>
        reader.all<{ scope: string; over: number; held: number; holds: number }>(
          `select scope, spent_nano_usd + held_nano_usd - limit_nano_usd as over, held_nano_usd as held,
             (select coalesce(sum(input_nano_usd + output_nano_usd), 0) from hold) as holds
           from account where limit_nano_usd is not null`,
        ),
      )
      for (const { scope, over, held, holds } of accounts)
        if (over > 0 || held !== holds) problems.push(`${scope}: over by ${over}, held ${held} of ${holds}`)
      return value
    },
  })

for (const seed of [1, 2])
  test(`no account is ever over its limit and the ledger covers the bill, however streams end (seed ${seed})`, async () => {
    const dice = seededRandom(seed)
    const problems: string[] = []
    let bill = 0
    await using stage = await setStage(
      async (_, response) => {
        const end = Math.floor(dice() * 4)
        const words = 20 + Math.floor(dice() * 250)
        const said = await speak('anthropic-messages', response, words, (rest) => {
          if (end === 0) response.destroy()
          else if (end === 1) response.end()
          else response.end(rest)
        })
        bill += 1000 * 4000 + 200 * 200 + said * 15 * 20_000
      },
      {
        wrap: watching(problems),
        limits: {
          dayNanoUsd: 450_000_000,
          familiesNanoUsd: { anthropic: 420_000_000 },
          repositoriesNanoUsd: { shop: 430_000_000 },
        },
      },
    )
    const limitNanoUsd = 400_000_000
    const attempts = await Promise.all(
      Array.from({ length: 10 }, () => stage.enter('anthropic-messages', { limitNanoUsd })),
    )
    const { path, body } = askIn('anthropic-messages', true, {}, 128_000)
    const statuses = await Promise.all(
      attempts.flatMap(({ key }) =>
        [0, 1].map(async (turn) => {
          await world.timer.sleep(turn * 150)
          const leave = new AbortController()
          if (dice() < 0.2) world.timer.after(100 * dice(), () => leave.abort())
          const heard = await tell(stage.gateway, {
            path,
            headers: { 'x-api-key': key },
            body,
            signal: leave.signal,
          }).catch(() => null)
          return heard?.status ?? 0
        }),
      ),
    )
    await Promise.all(attempts.map(({ attempt }) => stage.gateway.revoke(attempt)))
    const { held, spent } = await books(stage)
    assert.deepEqual(problems, [])
    assert.equal(held, 0)
    assert.ok(spent >= bill && spent <= limitNanoUsd, `bill ${bill}, ledger ${spent}, limit ${limitNanoUsd}`)
    assert.ok(statuses.includes(402) && statuses.includes(200), statuses.join())
  })
