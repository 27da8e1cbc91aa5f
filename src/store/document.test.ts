/** Laws of a task's document: nothing of the task is lost in it, and the documents of an older schema become the same bytes. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../sim/world.ts'
import { added, foldTask, move, startLife } from '../core/fixture.ts'
import type { Task } from '../core/task.ts'
import { openDatabase } from './database.ts'
import { decodeTask } from './document.ts'
import { encodeTask, taskRow } from './row.ts'
import { migrations } from './migrate.ts'

/** Tasks in the midst of whatever may happen to them. */
function someTasks(seed: number, moves: number): Task[] {
  const life = startLife({ random: seededRandom(seed), tasks: 3 })
  for (let n = 0; n < moves; n++) move(life)
  return [...life.tasks.values()]
}

test('a row and its text are the whole task, the same task is the same bytes, and a new one has nothing in its document', () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(200), (seed, moves) => {
      for (const task of someTasks(seed, moves)) {
        const row = taskRow(task)
        assert.deepEqual(decodeTask({ ...row, text: task.text }), task)
        assert.deepEqual(taskRow(decodeTask(row)), row)
      }
    }),
    { seed: 2026, numRuns: 100 },
  )
  assert.equal(encodeTask(foldTask([added('task_1')])), '{}')
})

test('what an older schema holds of a task becomes what would be written of it now, byte for byte', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'store-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const before = migrations().findIndex(({ name }) => name.endsWith('-document.sql'))
  const tasks = Array.from({ length: 30 }, (_, n) => n * 7).flatMap((moves) =>
    someTasks(moves, moves)
      .filter(({ parked, archive }) => !parked && !archive)
      .map((task) => ({
        ...task,
        id: `${task.id}${moves}`,
        root: `${task.root}${moves}`,
        title: 'quote " \\ tab \t ü 🍵 \u0001',
      })),
  )
  assert.ok(tasks.some(({ round }) => round) && tasks.some(({ landed }) => landed), 'of all kinds')
  const old = new DatabaseSync(path)
  for (const { sql } of migrations().slice(0, before)) old.exec(sql)
  const insert = old.prepare(
    `insert into task (id, repo, title, kind, lane, size, state, step, parent, added_at, version, held, doc)
     values (:id, :repo, :title, :kind, :lane, :size, :state, :step, :parent, :added_at, :version, :held, :doc)`,
  )
  for (const task of tasks) {
    const { parked: _, archive: __, ...then } = task // it knew neither
    const row = taskRow(task)
    const state = row.state === 'delayed' ? 'ready' : row.state // nor that one
    insert.run({ ...row, state, doc: JSON.stringify(then) })
  }
  old.exec(
    `insert into attempt (id, task, token, step, role, state, admitted_at) values ('att_1', 't', 1, 'plan', 'architect', 'admitted', 7)`,
  )
  old.exec(`pragma user_version = ${before}; pragma application_id = ${0x54524941}`)
  old.close()
  const upgraded = openDatabase(path)
  const rows = await upgraded.read((reader) => reader.all<{ id: string }>('select * from task'))
  const attempts = await upgraded.read((reader) =>
    reader.all<{ id: string }>('select id, task, admitted_at from attempt'),
  )
  upgraded.close()
  const stored = new Map(rows.map((row) => [row.id, row]))
  for (const task of tasks) assert.deepEqual({ ...stored.get(task.id) }, taskRow(task))
  assert.deepEqual(
    attempts.map((row) => ({ ...row })),
    [{ id: 'att_1', task: 't', admitted_at: 7 }],
  )
})
