/** What lies where the database should be and is not fit to be it: refused before it is opened, with what to do, and left as it was. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  statSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { added } from '../core/fixture.ts'
import { Fault } from '../host/fault.ts'
import { capture } from '../host/process.ts'
import { realWorld } from '../host/world.ts'
import { openDatabase } from './database.ts'
import { append } from './append.ts'

/** A closed database with so many tasks in it. */
async function made(t: TestContext, tasks = 40): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-fit-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'tasks.db')
  const database = openDatabase(path)
  for (let n = 0; n < tasks; n += 1)
    await database.write((tx) =>
      append(tx, { at: 1, actor: 'person:ada', stream: `task/task_${n}`, events: [added(`task_${n}`)] }),
    )
  database.close()
  return path
}

/** What opening it and reading it whole is refused with. */
async function refused(path: string): Promise<Fault> {
  try {
    const database = openDatabase(path)
    try {
      await database.read((reader) => reader.all('select * from event, task limit 100000'))
      await database.read((reader) => reader.all('select count(*) from charge, attempt, repo, seal'))
    } finally {
      database.close()
    }
  } catch (error) {
    assert.ok(error instanceof Fault, String(error))
    assert.ok(error.hint, 'it says what to do')
    return error
  }
  throw new Error('it was opened')
}

const overwrite = (path: string, at: number, text: string) => {
  const file = openSync(path, 'r+')
  writeSync(file, text, at)
  closeSync(file)
}

const cases: [what: string, how: (path: string) => void, code: string, says: RegExp][] = [
  [
    'a symbolic link',
    (path) => {
      renameSync(path, `${path}.elsewhere`)
      symlinkSync(`${path}.elsewhere`, path)
    },
    'database-unsafe',
    /is a symbolic link/,
  ],
  [
    'a folder',
    (path) => {
      rmSync(path)
      mkdirSync(path)
    },
    'database-unsafe',
    /is a folder/,
  ],
  ['one that others may write', (path) => chmodSync(path, 0o666), 'database-unsafe', /can be written by other users/],
  [
    'an empty file, and beside it the key of what was there',
    (path) => truncateSync(path, 0),
    'database-damaged',
    /is empty/,
  ],
  ['text', (path) => writeFileSync(path, 'a shopping list '.repeat(500)), 'database-damaged', /not a database/],
  ['one whose header is damaged', (path) => overwrite(path, 2, 'X'), 'database-damaged', /not a database/],
  ['one that is cut off', (path) => truncateSync(path, statSync(path).size / 2), 'database-damaged', /malformed/],
  [
    'one with a damaged page',
    (path) => {
      for (let at = 4096; at < statSync(path).size; at += 4096) overwrite(path, at, '\u0001'.repeat(8))
    },
    'database-damaged',
    /malformed/,
  ],
]

for (const [what, how, code, says] of cases)
  test(`where the database should be lies ${what}`, async (t) => {
    const path = await made(t)
    how(path)
    const fault = await refused(path)
    assert.equal(fault.code, code)
    assert.match(fault.message, says)
  })

test('where the database should be lies a pipe: nobody waits at it', async (t) => {
  const path = await made(t)
  rmSync(path)
  const { code } = await capture(realWorld().spawn, {
    file: 'mkfifo',
    args: [path],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
  })
  if (code !== 0) return t.skip('no pipe can be made here')
  assert.match((await refused(path)).message, /is not a plain file/)
})

test('where the database should be lies one of another user', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can give a file away')
  const path = await made(t)
  chownSync(path, 12_345, 12_345)
  assert.match((await refused(path)).message, /belongs to user 12345, not to you/)
})

/** A database with a WAL left by a process that was killed: copied while it was open. */
async function killed(t: TestContext, tasks: number): Promise<string> {
  const path = await made(t, tasks)
  const database = openDatabase(path)
  for (let n = 0; n < 30; n += 1)
    await database.write((tx) =>
      append(tx, { at: 2, actor: 'person:bob', stream: `task/task_late${n}`, events: [added(`task_late${n}`)] }),
    )
  for (const end of ['', '-wal', '.key']) copyFileSync(`${path}${end}`, `${path}.killed${end}`)
  chmodSync(`${path}.killed.key`, 0o600)
  database.close()
  return `${path}.killed`
}

test('a WAL that a killed process left is taken over; that of another database is refused, and neither file is written', async (t) => {
  const own = await killed(t, 40)
  const database = openDatabase(own)
  const { n } = (await database.read((reader) => reader.get<{ n: number }>('select count(*) as n from task')))!
  assert.equal(n, 70, 'what was acknowledged is there')
  database.close()
  for (const tasks of [400, 3]) {
    const [mine, other] = [await killed(t, 40), await killed(t, tasks)]
    copyFileSync(`${other}-wal`, `${mine}-wal`)
    const before = [readFileSync(mine), readFileSync(`${mine}-wal`)]
    const fault = await refused(mine)
    assert.equal(fault.code, 'database-damaged')
    assert.match(fault.message, /-wal does not belong to/)
    assert.deepEqual([readFileSync(mine), readFileSync(`${mine}-wal`)], before)
  }
  const foreign = await killed(t, 40)
  const theirs = new DatabaseSync(`${foreign}.theirs`)
  theirs.exec("pragma journal_mode = wal; create table song (title text); insert into song values ('x')")
  copyFileSync(`${foreign}.theirs-wal`, `${foreign}-wal`)
  theirs.close()
  assert.match((await refused(foreign)).message, /-wal does not belong to/)
})

test('a database that was moved away, removed or replaced takes nothing more: what nobody would find again is not acknowledged', async (t) => {
  for (const how of ['moved', 'removed', 'replaced'] as const) {
    const path = await made(t)
    const database = openDatabase(path)
    t.after(() => database.close())
    const add = (id: string) =>
      database.write((tx) =>
        append(tx, { at: 1, actor: 'person:ada', stream: `task/${id}`, events: [added(id)] }).then(() => {}),
      )
    await add('task_old') // so that its WAL holds something
    if (how === 'removed') rmSync(path)
    else renameSync(path, `${path}.moved`)
    if (how === 'replaced') copyFileSync(`${path}.moved`, path)
    await assert.rejects(
      add('task_new'),
      (error) => error instanceof Fault && error.code === 'database-gone' && /tri-agent restore/.test(error.hint ?? ''),
      how,
    )
    if (how !== 'moved') continue
    assert.throws(() => openDatabase(path), /tasks\.db is gone, and its WAL is left of it/)
    renameSync(`${path}.moved`, path)
    await add('task_newer')
    assert.equal(
      (await database.read((reader) => reader.all("select 1 from task where id glob 'task_new*'"))).length,
      1,
    )
  }
})
