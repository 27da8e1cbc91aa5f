/** Replay equals table: whatever tasks go through, the log alone explains every row, byte for byte. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import type { TaskEvent } from '../core/event.ts'
import { foldTask, liveOn, move, startLife, type Life } from '../core/fixture.ts'
import { evolve } from '../core/evolve.ts'
import type { Task } from '../core/task.ts'
import { openDatabase, type Database } from './database.ts'
import { readLog } from './log.ts'
import { append } from './append.ts'
import { rebuildProjections, verifyProjections } from './rebuild.ts'
import { listTasks, loadTask } from './task.ts'

const chance = fc.record({ seed: fc.integer(), moves: fc.integer({ min: 1, max: 250 }) })

function lead({ seed, moves }: { seed: number; moves: number }): Life {
  const life = startLife({ random: seededRandom(seed), tasks: 3 })
  for (let n = 0; n < moves; n++) move(life)
  liveOn(life, 60)
  return life
}

async function store(life: Life): Promise<Database> {
  const database = openDatabase(':memory:')
  await database.write((tx) =>
    append(tx, {
      at: 0,
      actor: 'person:ada',
      stream: 'repo/repo_1',
      events: [{ type: 'repo.registered', repo: 'repo_1', path: '/shop', name: 'shop', base: 'main' }],
    }),
  )
  await Promise.all(
    life.log.map(({ task, at, events }) =>
      database.write((tx) => append(tx, { at, actor: 'daemon', stream: `task/${task}`, events })),
    ),
  )
  return database
}

const docs = (database: Database): Promise<Task[]> =>
  database.read(async (reader) => (await listTasks(reader, { limit: 10 })).toSorted((a, b) => (a.id < b.id ? -1 : 1)))

test('every life fits the constraints of the tables, and the log folds into exactly those rows', async () => {
  let events = 0
  await fc.assert(
    fc.asyncProperty(chance, async (which) => {
      const life = lead(which)
      const database = await store(life)
      const lived = [...life.tasks.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
      assert.deepEqual(await docs(database), lived)
      const log = await database.read((reader) => readLog(reader, { limit: 10_000 }))
      for (const task of lived) {
        const stream = log.filter((each) => each.stream === `task/${task.id}`)
        assert.deepEqual(
          stream.reduce<Task | null>((now, { event, at }) => evolve(now, event as TaskEvent, at), null),
          task,
        )
        assert.deepEqual(
          stream.map(({ version }) => version),
          stream.map((_, index) => index + 1),
        )
      }
      const verified = await verifyProjections(database)
      assert.deepEqual([verified.differences, verified.events], [[], log.length])
      const rebuilt = await rebuildProjections(database)
      assert.deepEqual(rebuilt, verified)
      assert.deepEqual(await docs(database), lived)
      events += log.length
      database.close()
    }),
    { seed: 2026, numRuns: 50 },
  )
  assert.ok(events > 3000, `only ${events} events`)
})

test('a row that the log does not explain is found, whether changed, missing or too many, and a rebuild mends it', async () => {
  const database = await store(lead({ seed: 7, moves: 100 }))
  const before = await docs(database)
  await database.write(async (tx) => {
    await tx.run("update task set title = 'Sell poison' where id = 'task_1'")
    await tx.run("delete from repo where id = 'repo_1'")
    await tx.run("insert into landing values ('task_9', 'repo_1', 'c', 't', 'main', 0)")
  })
  const found = (await verifyProjections(database)).differences.map(({ table, row, stored, folded }) => [
    table,
    row,
    stored === null ? 'missing' : folded === null ? 'unexplained' : 'changed',
  ])
  assert.deepEqual(found, [
    ['task', 'task_1', 'changed'],
    ['landing', 'task_9', 'unexplained'],
    ['repo', 'repo_1', 'missing'],
  ])
  assert.equal((await rebuildProjections(database)).differences.length, 3)
  assert.deepEqual([(await verifyProjections(database)).differences, await docs(database)], [[], before])
  database.close()
})

test('looking for differences changes nothing, and a rebuild that fails changes nothing either', async () => {
  const database = await store(lead({ seed: 7, moves: 30 }))
  await database.write((tx) => tx.run("update task set lane = 'critical'"))
  const dump = () => database.read((reader) => reader.all('select * from task order by id'))
  const before = await dump()
  await verifyProjections(database)
  assert.deepEqual(await dump(), before)
  const damaged = `insert into event (at, stream, version, type, actor, body) values (0, 'task/task_0', 1, 'task.held', 'x', '{}')`
  await database.write((tx) => tx.run(damaged))
  await assert.rejects(rebuildProjections(database), /before task.added: the log is damaged/)
  assert.deepEqual(await dump(), before)
  database.close()
})

test('an event that cannot follow is a damaged log: it throws, and nothing is appended', async () => {
  const database = await store(lead({ seed: 7, moves: 0 }))
  const length = async () => (await database.read((reader) => readLog(reader, { limit: 10_000 }))).length
  const before = await length()
  const round: TaskEvent = {
    type: 'finding.checked',
    round: 9,
    finding: 'f',
    by: 'x',
    verdict: 'confirmed',
    evidence: '',
  }
  for (const [id, event] of [
    ['task_1', round],
    ['task_9', { type: 'task.released' }],
  ] as [string, TaskEvent][]) {
    const task = await database.read((reader) => loadTask(reader, id))
    assert.throws(() => evolve(task, event, 0), /the log is damaged/)
    await assert.rejects(
      database.write((tx) => append(tx, { at: 0, actor: 'x', stream: `task/${id}`, events: [event] })),
      /the log is damaged/,
    )
  }
  assert.equal(await length(), before)
  assert.throws(() => foldTask([round]), /before task.added/)
  database.close()
})
