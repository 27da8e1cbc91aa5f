/**
 * Several processes claim, beat, finish, sweep and restart on one database, each through a connection of its own; what all of them were answered, and
 * when, is held to a plain model: there is one order of all calls that explains it.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import { openDatabase } from '../../src/store/database.ts'
import { takeEpoch } from '../../src/store/lease.ts'
import { empty, follow, type Call, type State } from './claim-model.ts'
import { explainHistory, type Recorded } from './linear.ts'

const world = realWorld()
const processes = 3
const begin: State = { ...empty, epoch: 1 }

/** What every client of every process was answered. */
async function record(seed: number, calls: number, ...how: string[]): Promise<Recorded<Call>[][]> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-claim-'))
  try {
    const path = join(folder, 'state', 'tasks.db')
    const database = openDatabase(path)
    await database.write((tx) => takeEpoch(tx, { pid: 1, boot_id: 'boot', start_time: 1, started_at: 0 }))
    database.close()
    const played = await Promise.all(
      Array.from({ length: processes }, (_, n) =>
        capture(world.spawn, {
          file: process.execPath,
          args: [join(import.meta.dirname, 'claim-player.ts'), path, `p${n}`, `${seed * 10 + n}`, `${calls}`, ...how],
          cwd: folder,
          env: { PATH: environment()['PATH'] ?? '', HOME: folder },
        }),
      ),
    )
    return played.flatMap(({ code, stdout, stderr }) => {
      assert.equal(code, 0, stderr)
      return JSON.parse(stdout) as Recorded<Call>[][]
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const countOf = (clients: readonly Recorded<Call>[][], what: Call['call']): number =>
  clients.flat().filter(({ call }) => call.call === what && (!('answer' in call) || Boolean(call.answer))).length

test('whatever several processes do at once, there is one order of it all that explains every answer', async () => {
  const clients = await record(1, 400)
  assert.equal(explainHistory(clients, begin, follow), null)
  const kinds = (['add', 'admit', 'claim', 'beat', 'finish', 'restart'] as const).map((kind) => [
    kind,
    countOf(clients, kind),
  ])
  const overlapping = overlaps(clients)
  process.stdout.write(
    `claims: ${clients.flat().length} calls of ${clients.length} clients in ${processes} processes, ${overlapping} of them beside another: ${kinds.map((each) => each.join(' ')).join(', ')}\n`,
  )
  assert.ok(
    kinds.every(([, count]) => Number(count) > 3),
    JSON.stringify(kinds),
  )
  assert.ok(overlapping > 200, 'they were at it at the same time')
})

/** Calls during which a call of another client began. */
function overlaps(clients: readonly Recorded<Call>[][]): number {
  const all = clients.flatMap((calls, client) => calls.map((each) => ({ ...each, client })))
  const sorted = all.toSorted((a, b) => a.began - b.began)
  return sorted.filter((each, index) => {
    const next = sorted[index + 1]
    return next !== undefined && next.client !== each.client && next.began < each.ended
  }).length
}

test('a claim that looks in one transaction and takes in another is found out', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const unexplained = explainHistory(await record(seed, 400, 'careless'), begin, follow)
    if (unexplained === null) continue
    assert.ok(
      unexplained.next.some(({ call }) => call === 'claim' || call === 'beat' || call === 'finish' || call === 'sweep'),
    )
    return
  }
  assert.fail('five recordings, and nothing was wrong')
})

test('a history is explained when its calls overlap, and not when one had ended before the other began', () => {
  const holder = { attempt: 'att_1', token: 1, epoch: 1 }
  const offered: State = { ...begin, leases: { att_1: { token: 1, epoch: 1, claimed: false, expires: 9 } } }
  const claim = (answer: typeof holder | null): Call => ({ call: 'claim', epoch: 1, expires: 9, answer })
  const of = (call: Call, began: number, ended: number): Recorded<Call> => ({ call, began, ended })
  const verdict = (...clients: Recorded<Call>[][]) => explainHistory(clients, offered, follow) === null
  assert.deepEqual(
    [
      verdict([of(claim(holder), 1, 4)], [of(claim(null), 2, 3)]),
      verdict([of(claim(holder), 3, 4)], [of(claim(null), 1, 2)]),
      verdict([of(claim(holder), 1, 4)], [of(claim(holder), 2, 3)]),
      verdict(
        [of(claim(holder), 1, 2), of({ call: 'finish', holder, answer: true }, 3, 6)],
        [of({ call: 'beat', holder, expires: 9, answer: false }, 4, 5)],
      ),
      verdict(
        [of(claim(holder), 1, 2), of({ call: 'finish', holder, answer: true }, 3, 6)],
        [of({ call: 'beat', holder, expires: 9, answer: false }, 1, 2)],
      ),
    ],
    [true, false, false, true, true],
  )
})
