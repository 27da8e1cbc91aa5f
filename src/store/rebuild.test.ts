/** Which tables a rebuild makes anew: every one that is derived from the log, and a new table is one or the other, never forgotten. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../sim/world.ts'
import { added, liveOn, startLife } from '../core/fixture.ts'
import { openDatabase, type Reader } from './database.ts'
import { append } from './append.ts'
import { projections } from './projection.ts'
import { rebuildProjections, verifyProjections } from './rebuild.ts'

/** Tables that no log explains, and why none needs to. */
const others = {
  event: 'the log itself',
  seal: 'what proves the log',
  account: 'money',
  virtual_key: 'money',
  hold: 'money',
  charge: 'money',
  daemon: 'true while a daemon lives',
  lease: 'true while a daemon lives',
  process: 'true while a daemon lives',
  command: 'answers that may be asked for again',
  gate_result: 'a cache',
  cool_down: 'the wire said it',
  pacer: 'money',
  spending: 'money',
  health_status: 'what was last found',
  agent_trial: 'what was last found',
}

test('every table is made anew by a rebuild or is named among those that are not', async () => {
  const database = openDatabase(':memory:')
  const tables = await database.read((reader) =>
    reader.all<{ name: string }>(
      "select name from sqlite_schema where type = 'table' and substr(name, 1, 7) <> 'sqlite_'",
    ),
  )
  const named = [...projections.map(({ table }) => table), ...Object.keys(others)]
  assert.deepEqual(tables.map(({ name }) => name).toSorted(), named.toSorted())
  database.close()
})

test('whichever of those tables is emptied, every row is missed and a rebuild brings back the same bytes', async () => {
  const database = openDatabase(':memory:')
  await database.write((tx) =>
    append(tx, {
      at: 0,
      actor: 'person:ada',
      stream: 'repo/repo_1',
      events: [{ type: 'repo.registered', repo: 'repo_1', path: '/shop', name: 'shop', base: 'main' }],
    }),
  )
  const life = startLife({ random: seededRandom(7), tasks: 3 })
  liveOn(life, 400)
  for (const { task, at, events } of life.log)
    await database.write((tx) => append(tx, { at, actor: 'daemon', stream: `task/${task}`, events }))
  for (const event of [added('task_8'), added('task_9', { after: ['task_8'] })])
    await database.write((tx) =>
      append(tx, { at: 0, actor: 'person:ada', stream: `task/${event.task}`, events: [event] }),
    )
  const pause = { what: 'lane', name: 'background', why: 'the release', now: false } as const
  for (const event of [
    { type: 'work.paused', ...pause },
    { type: 'work.paused', ...pause, what: 'all', name: 'all' },
    { type: 'work.resumed', what: 'lane', name: 'background' },
  ] as const)
    await database.write((tx) => append(tx, { at: 5, actor: 'person:ada', stream: 'daemon/main', events: [event] }))
  for (const { table, order } of projections) {
    const dump = () => database.read((reader) => reader.all(`select * from ${table} order by ${order}`))
    const before = await dump()
    assert.ok(before.length > 0, `nothing is in ${table}`)
    await database.write((tx) => tx.run(`delete from ${table}`))
    const { differences } = await verifyProjections(database)
    assert.deepEqual(
      differences.map((each) => [each.table, each.stored]),
      before.map(() => [table, null]),
    )
    await rebuildProjections(database)
    assert.deepEqual([await dump(), (await verifyProjections(database)).differences], [before, []])
  }
  database.close()
})

test('however long the log, no more than a page of it and of the tables is asked for at once, and differences are listed up to a bound', async () => {
  const database = openDatabase(':memory:')
  const tasks = 2500
  await database.write(async (tx) => {
    for (let n = 0; n < tasks; n++) {
      const task = `task_${String(n).padStart(5, '0')}`
      const after = n > 0 && n % 5 === 0 ? [`task_${String(n - 1).padStart(5, '0')}`] : []
      const stream = `task/${task}`
      await append(tx, { at: n, actor: 'person:ada', stream, events: [added(task, { after })] })
      if (n % 2 === 0)
        await append(tx, { at: n, actor: 'person:ada', stream, events: [{ type: 'task.held', why: 'no' }] })
    }
  })
  let most = 0
  const counting = {
    ...database,
    read: <T>(body: (reader: Reader) => Promise<T>) =>
      database.read((reader) =>
        body({
          get: reader.get,
          all: async <R>(sql: string, params?: Parameters<Reader['all']>[1]) => {
            const rows = await reader.all<R>(sql, params)
            most = Math.max(most, rows.length)
            return rows
          },
          table: async (sql: string, params?: Parameters<Reader['table']>[1]) => {
            const table = await reader.table(sql, params)
            most = Math.max(most, table.rows.length)
            return table
          },
        }),
      ),
  }
  const whole = await verifyProjections(counting)
  assert.deepEqual([whole.differing, whole.events, whole.rows], [0, 3750, 2500 + 499 + 1250 - 250])
  assert.ok(most <= 2000, `${most} rows were in memory at once`)
  await database.write((tx) => tx.run('delete from task'))
  const { differing, differences } = await verifyProjections(database)
  assert.deepEqual([differing, differences.length], [2500, 1000])
  database.close()
})

test('a story that is longer than a page is one story, and so is one that a page would cut', async () => {
  const database = openDatabase(':memory:')
  const lengths = { task_1: 1500, task_2: 4500, task_3: 1, task_4: 1999, task_5: 1, task_6: 2000, task_7: 1 }
  await database.write(async (tx) => {
    for (const [task, length] of Object.entries(lengths)) {
      const held = Array.from({ length: length - 1 }, (_, n) => ({ type: 'task.held' as const, why: String(n) }))
      const stream = `task/${task}`
      await append(tx, { at: 0, actor: 'person:ada', stream, events: [added(task)] })
      await append(tx, { at: 0, actor: 'person:ada', stream, events: held })
    }
  })
  const { events, differing } = await verifyProjections(database)
  assert.deepEqual([events, differing], [Object.values(lengths).reduce((sum, length) => sum + length), 0])
  database.close()
})

test('rows that are missing, changed and too many differ, and none of those beside them', async () => {
  const database = openDatabase(':memory:')
  await database.write(async (tx) => {
    for (let n = 0; n < 9; n++)
      await append(tx, { at: n, actor: 'person:ada', stream: `task/task_${n}`, events: [added(`task_${n}`)] })
    await tx.run("delete from task where id in ('task_2', 'task_8')")
    await tx.run("update task set held = 'no' where id = 'task_5'")
    await tx.run("update task set id = 'task_00' where id = 'task_6'")
    await tx.run("delete from queue where task = 'task_0'")
  })
  const { differing, differences } = await verifyProjections(database)
  assert.equal(differing, differences.length)
  assert.deepEqual(
    differences.map(({ table, row, stored, folded }) => [table, row, stored !== null, folded !== null]),
    [
      ['task', 'task_00', true, false],
      ['task', 'task_5', true, true],
      ['task', 'task_2', false, true],
      ['task', 'task_6', false, true],
      ['task', 'task_8', false, true],
      ['queue', 'task_0', false, true],
    ],
  )
  const changed = JSON.parse(differences[1]!.folded!) as Record<string, unknown>
  assert.deepEqual([changed['held'], Object.keys(changed).length], [null, 13])
  database.close()
})
