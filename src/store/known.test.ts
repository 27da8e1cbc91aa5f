/** Laws of what the writer knows without asking: it goes on from what is in the table, whoever wrote that and whatever was undone. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { added } from '../core/fixture.ts'
import type { TaskEvent } from '../core/event.ts'
import { append } from './append.ts'
import { openDatabase, type Database, type Tx } from './database.ts'
import { verifyProjections } from './rebuild.ts'
import { loadTask } from './task.ts'
import { verifyLog } from './verify-log.ts'

const held = (why: string): TaskEvent => ({ type: 'task.held', why })
const say = (tx: Tx, ...events: TaskEvent[]) =>
  append(tx, { at: 1, actor: 'person:ada', stream: 'task/task_1', events })

/** A database whose writer knows a task: it has written it twice. */
async function opened(t: TestContext): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), 'store-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  t.after(async () => {
    database.close()
    await rm(folder, { recursive: true, force: true })
  })
  await database.write((tx) => say(tx, added('task_1')))
  await database.write((tx) => say(tx, held('one')))
  return database
}

/** How the task stands, when log and tables agree and every seal follows the one before. */
async function stands(database: Database) {
  const { differing } = await verifyProjections(database)
  const { ok } = await verifyLog(database)
  const { version, held: why, lane } = (await database.read((reader) => loadTask(reader, 'task_1')))!
  return { differing, ok, version, why, lane }
}

test('what another connection wrote is gone on from', async (t) => {
  const database = await opened(t)
  const other = openDatabase(database.path)
  await other.write((tx) => say(tx, { type: 'task.prioritized', lane: 'critical', override: null }))
  other.close()
  await database.write((tx) => say(tx, held('two')))
  assert.deepEqual(await stands(database), { differing: 0, ok: true, version: 4, why: 'two', lane: 'critical' })
})

test('what was undone was never known, whether a part was undone or the whole commit', async (t) => {
  const database = await opened(t)
  const no = new Error('no')
  const parts = await Promise.allSettled([
    database.write((tx) => say(tx, { type: 'task.prioritized', lane: 'critical', override: null })),
    database.write(async (tx) => {
      await say(tx, held('undone'))
      throw no
    }),
    database.write((tx) => say(tx, { type: 'task.released' })),
  ])
  assert.deepEqual(
    parts.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  assert.deepEqual(await stands(database), { differing: 0, ok: true, version: 4, why: null, lane: 'critical' })
  const trigger = 'create trigger nothing_is_sealed before insert on seal begin select raise(abort, 1); end'
  await database.write((tx) => tx.run(trigger))
  await assert.rejects(database.write((tx) => say(tx, held('lost'))))
  await database.write((tx) => tx.run('drop trigger nothing_is_sealed'))
  await database.write((tx) => say(tx, held('two')))
  assert.deepEqual(await stands(database), { differing: 0, ok: true, version: 5, why: 'two', lane: 'critical' })
})

test('what SQL of another kind makes of a task is gone on from', async (t) => {
  const database = await opened(t)
  await database.write((tx) => tx.run("update task set lane = 'background'"))
  await database.write((tx) => say(tx, held('two')))
  const { version, why, lane } = await stands(database)
  assert.deepEqual({ version, why, lane }, { version: 3, why: 'two', lane: 'background' })
})

test('a task begins once: a second beginning of its story is refused, and nothing of it stands', async (t) => {
  const database = await opened(t)
  const again = database.write((tx) => say(tx, added('task_1', { lane: 'critical' })))
  await assert.rejects(again, /event\.stream, event\.version|one_event_per_version/)
  await database.write((tx) => say(tx, held('two')))
  assert.deepEqual(await stands(database), { differing: 0, ok: true, version: 3, why: 'two', lane: 'normal' })
})
