/** Laws of the group commit: who shares one, when it ends, and who gets a turn between two. And of what a statement is handed. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as turn } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import type { Fault } from '../host/fault.ts'
import fc from 'fast-check'
import { openDatabase, type Database, type Tx } from './database.ts'

/** A database, and how many rows of it another process can see. */
async function opened(t: TestContext, mono?: () => number) {
  const folder = await mkdtemp(join(tmpdir(), 'store-'))
  const database = openDatabase(join(folder, 'tasks.db'), mono ? { mono } : {})
  const other = new DatabaseSync(database.path, { readOnly: true })
  t.after(async () => {
    for (const each of [database, other]) each.close()
    await rm(folder, { recursive: true, force: true })
  })
  const there = () => (other.prepare('select count(*) as n from gate_result').get() as { n: number }).n
  return { database, there }
}

const put = (tx: Tx, tree: string) => tx.run(`insert into gate_result values (:tree, 'k', '{}', 0)`, { tree })

test('a commit that takes long leaves the rest to the next one, and the event loop turns between them', async (t) => {
  let clock = 0
  const { database, there } = await opened(t, () => clock)
  let turns = 0
  let writing = true
  const turning = (async () => {
    for (; writing; turns++) await turn()
  })()
  const seen = await Promise.all(
    Array.from({ length: 6 }, (_, n) =>
      database
        .write(async (tx) => {
          clock += 2
          await put(tx, String(n))
          return turns
        })
        .then((turnsBefore) => ({ there: there(), turnsBefore })),
    ),
  )
  writing = false
  await turning
  assert.deepEqual(
    seen.map((each) => each.there),
    [3, 3, 3, 6, 6, 6],
  )
  assert.ok(seen[3]!.turnsBefore > seen[2]!.turnsBefore, 'whoever else waited was served between the commits')
})

test('a commit that has taken long still takes in whom it has woken itself, when nobody else waits before them', async (t) => {
  let clock = 0
  const { database, there } = await opened(t, () => clock)
  const woken: Promise<number>[] = []
  const long = (name: string, wakes: boolean) =>
    database
      .write(async (tx) => {
        clock += 20
        await put(tx, name)
        if (wakes) woken.push(long(`${name} woken`, false))
      })
      .then(there)
  assert.deepEqual([await long('a', true), await woken[0]], [2, 2], 'one commit')
  assert.deepEqual(await Promise.all([long('b', true), long('c', false)]), [3, 4])
  assert.equal(await woken[1], 5, 'it comes after whoever waited before it')
})

test('who writes again as soon as it is answered shares the next commit with all others who do', async (t) => {
  const { database, there } = await opened(t)
  const seen: number[] = []
  const writer = async (name: number) => {
    for (let n = 0; n < 3; n++) {
      for (let turn = 0; turn < name; turn++) await Promise.resolve() // some are quicker at it than others
      await database.write((tx) => put(tx, `${name} ${n}`))
      seen.push(there())
    }
  }
  await Promise.all([0, 3, 6, 9].map(writer))
  assert.deepEqual(seen, [4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12])
})

test('whom a writer wakes before its end shares its commit, and finds nothing where that writer is undone', async (t) => {
  const { database, there } = await opened(t)
  const trees = (tx: Tx) => tx.all<{ tree: string }>('select tree from gate_result order by tree')
  for (const isUndone of [false, true]) {
    const before = there()
    const woken: Promise<number[]>[] = []
    const first = database.write(async (tx) => {
      await put(tx, `first ${isUndone}`)
      const wake = async () => {
        for (let turn = 0; turn < 20; turn++) await Promise.resolve() // it takes a while to come to its senses
        return database.write(async (other) => [(await trees(other)).length, there()])
      }
      woken.push(wake())
      if (isUndone) throw new Error('no')
    })
    await first.then(
      () => assert.equal(isUndone, false),
      () => assert.equal(isUndone, true),
    )
    assert.deepEqual(
      await woken[0],
      [before + (isUndone ? 0 : 1), before],
      'it saw what is not committed yet, and that alone',
    )
  }
})

test('whoever goes on after the disk was full writes nothing any more, and everyone in that commit is told what it was', async (t) => {
  const { database, there } = await opened(t)
  await database.write(async (tx) => {
    const { page_count } = (await tx.get<{ page_count: number }>('pragma page_count'))!
    await tx.get(`pragma max_page_count = ${page_count}`)
  })
  const said = await Promise.allSettled([
    database.write((tx) => put(tx, 'before it')),
    database.write(async (tx) => {
      await put(tx, 'x'.repeat(100_000)).catch(() => {}) // more than there is room for, and it does not mind
      await put(tx, 'after it').catch(() => {})
    }),
  ])
  assert.deepEqual(
    said.map((each) => (each.status === 'rejected' ? (each.reason as Fault).code : each.status)),
    ['disk-full', 'disk-full'],
  )
  assert.equal(there(), 0)
  await database.write((tx) => tx.get('pragma max_page_count = 1073741823'))
  await database.write((tx) => put(tx, 'with room'))
  assert.equal(there(), 1)
})

test('a name without a value and a value without a name are bugs, and a name in a quoted text is none', async (t) => {
  const { database } = await opened(t)
  const ask = (sql: string, params: Record<string, number>) =>
    database
      .read((reader) => reader.get(sql, params))
      .then(
        (row) => ({ ...(row as object) }),
        (error: unknown) => String(error),
      )
  assert.deepEqual(
    [
      await ask("select :a + :b + :a as sum, ':c' as text -- :d", { a: 1, b: 2 }),
      await ask('select :a + :b as sum', { a: 1 }),
      await ask('select :a as sum', { a: 1, b: 2 }),
    ],
    [
      { sum: 4, text: ':c' },
      'Error: :b has no value in: select :a + :b as sum',
      'Error: of a, b not all are asked for in: select :a as sum',
    ],
  )
})

type Part = { writes: ('insert' | 'upsert' | 'change' | 'remove' | 'returning' | 'refused')[]; fails: boolean }
const part: fc.Arbitrary<Part> = fc.record({
  writes: fc.array(fc.constantFrom('insert', 'upsert', 'change', 'remove', 'returning', 'refused'), { maxLength: 4 }),
  fails: fc.boolean(),
})

/** One part: what each of its statements answered, or that it failed. What it writes depends on what those before it left. */
async function carryOut(tx: Tx, { writes, fails }: Part): Promise<unknown[]> {
  const answers: unknown[] = []
  for (const write of writes) {
    const { n } = (await tx.get<{ n: number }>('select count(*) as n from health_status'))!
    const name = `${n}`
    if (write === 'insert')
      answers.push(
        await tx.run(
          `insert into event (at, stream, version, type, actor, body) select 0, 'a/b', coalesce(max(version), 0) + 1, 'a.b', :name, '{}' from event`,
          { name },
        ),
      )
    if (write === 'upsert')
      // into a table without row ids: what the binding says of its row is that of another table's
      await tx.run(
        `insert into health_status (name, state, found, checked_at) values (:name, 'ok', '0', 0) on conflict (name) do update set found = 'more'`,
        { name },
      )
    if (write === 'change') answers.push((await tx.run('update health_status set found = found + 1')).changes)
    if (write === 'remove')
      answers.push((await tx.run('delete from health_status where name = :name', { name: `${n - 1}` })).changes)
    if (write === 'returning')
      answers.push(
        await tx.get(
          `insert into health_status (name, state, found, checked_at) values (:name, 'ok', '0', 0)
           on conflict (name) do update set found = 'again' returning name, found`,
          { name },
        ),
      )
    if (write === 'refused')
      await tx
        .run(`insert into health_status (name, state, found, checked_at) values (:name, 'no such state', '0', 0)`, {
          name,
        })
        .catch((error: Error) => answers.push(error.message))
  }
  if (fails) throw new Error('no')
  return answers
}

test('whoever shares a commit, and whoever of them is undone, it comes to what one after the other does', async () => {
  const dump = (database: Database) =>
    database.read(async (reader) => [
      await reader.all('select * from event order by seq'),
      await reader.all('select * from health_status order by name'),
    ])
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 2, maxLength: 8 }), async (parts) => {
      const [shared, alone] = [openDatabase(':memory:'), openDatabase(':memory:')]
      const saying = (answer: Promise<unknown>) => answer.catch((error: Error) => error.message)
      const answers = await Promise.all(parts.map((each) => saying(shared.write((tx) => carryOut(tx, each)))))
      for (const [n, each] of parts.entries())
        assert.deepEqual(await saying(alone.write((tx) => carryOut(tx, each))), answers[n])
      assert.deepEqual(await dump(shared), await dump(alone))
      for (const each of [shared, alone]) each.close()
    }),
    { seed: 2026, numRuns: 150 },
  )
})
