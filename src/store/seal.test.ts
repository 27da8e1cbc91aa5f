import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { added } from '../core/fixture.ts'
import { isFault } from '../host/fault.ts'
import { anchorFile, readAnchors } from './anchor.ts'
import { openDatabase, type Database } from './database.ts'
import { append } from './append.ts'
import { migrations } from './migrate.ts'
import { firstDamage, verifyLog, type LogReport } from './verify-log.ts'

type Lab = AsyncDisposable & {
  path: string
  database: Database
  /** One commit of so many tasks added. */
  commit(tasks: number): Promise<void>
  /** What somebody with the file alone can do: no trigger stands in the way. */
  tamper(sql: string): void
  verify(): Promise<LogReport>
}

async function lab(): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-seal-'))
  const path = join(folder, 'tasks.db')
  const database = openDatabase(path)
  let n = 0
  const add = () => {
    const task = `task_${++n}`
    return database.write((tx) =>
      append(tx, { at: n, actor: 'person:ada', stream: `task/${task}`, events: [added(task)] }),
    )
  }
  return {
    path,
    database,
    commit: async (tasks) => void (await Promise.all(Array.from({ length: tasks }, add))),
    tamper(sql) {
      const file = new DatabaseSync(path)
      const triggers = file.prepare("select name from sqlite_schema where type = 'trigger'").all()
      for (const { name } of triggers as { name: string }[]) file.exec(`drop trigger ${name}`)
      file.exec(sql)
      file.close()
    },
    verify: () => verifyLog(database),
    async [Symbol.asyncDispose]() {
      database.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Four commits: events 1–2, 3–5, 6, 7–10. */
async function sealed(): Promise<Lab> {
  const made = await lab()
  for (const tasks of [2, 3, 1, 4]) await made.commit(tasks)
  return made
}
const kinds = ({ damage }: LogReport) => damage.map(({ kind, first, last }) => `${kind} ${first}-${last}`)

test('an untouched log is whole: one seal per commit, whoever wrote it, and what was rolled back is not in it', async () => {
  await using made = await sealed()
  const other = openDatabase(made.path) // another process with the daemon down
  const event = added('task_other')
  await Promise.allSettled([
    other.write((tx) => append(tx, { at: 0, actor: 'person:bob', stream: 'task/task_other', events: [event] })),
    other.write(async (tx) => {
      await append(tx, { at: 0, actor: 'person:bob', stream: 'task/task_gone', events: [added('task_gone')] })
      throw new Error('no')
    }),
  ])
  await other.write((tx) => tx.run("insert into repo (id, path, name, base) values ('r', 'p', 'n', 'b')")) // no event, no seal
  other.close()
  await made.commit(1)
  const seals = await made.database.read((reader) =>
    reader.all('select first_seq, last_seq from seal order by last_seq'),
  )
  assert.deepEqual(
    seals.map((row) => ({ ...(row as object) })),
    [
      { first_seq: 1, last_seq: 2 },
      { first_seq: 3, last_seq: 5 },
      { first_seq: 6, last_seq: 6 },
      { first_seq: 7, last_seq: 10 },
      { first_seq: 11, last_seq: 11 },
      { first_seq: 12, last_seq: 12 },
    ],
  )
  assert.deepEqual(await made.verify(), {
    ok: true,
    events: 12,
    batches: 6,
    anchors: 0,
    foreign: 0,
    adopted: null,
    unproven: null,
    damage: [],
  })
})

const tampering: [what: string, sql: string, found: string[]][] = [
  ['an edited body', `update event set body = json_set(body, '$.title', 'Sell poison') where seq = 4`, ['changed 3-5']],
  [
    'an edited body of the same length',
    `update event set body = replace(body, 'e', 'E') where seq = 4`,
    ['changed 3-5'],
  ],
  ['another actor', `update event set actor = 'person:eve' where seq = 6`, ['changed 6-6']],
  ['another time', `update event set at = 99 where seq = 1`, ['changed 1-2']],
  [
    'two events that changed places',
    `update event set seq = 99 where seq = 4; update event set seq = 4 where seq = 8; update event set seq = 8 where seq = 99`,
    ['changed 3-5', 'changed 7-10'],
  ],
  ['a deleted event', `delete from event where seq = 4`, ['deleted 3-5']],
  [
    'a deleted batch with its seal',
    `delete from event where seq = 6; delete from seal where last_seq = 6`,
    ['unlinked 7-10'],
  ],
  ['a shortened log', `delete from event where seq > 8`, ['truncated 7-10']],
  [
    'an event at the end',
    `insert into event select 11, at, stream, 99, type, actor, body from event where seq = 1`,
    ['inserted 11-11'],
  ],
  [
    'an event before the beginning',
    `insert into event select 0, at, stream, 99, type, actor, body from event where seq = 1`,
    ['inserted 0-0'],
  ],
  [
    'an event between, the rest moved up and their seals as well',
    `update event set seq = seq + 100 where seq > 5; update event set seq = seq - 99 where seq > 5;
     insert into event select 6, at, stream, 99, type, actor, body from event where seq = 1;
     update seal set last_seq = last_seq + 101, first_seq = first_seq + 101 where first_seq > 5;
     update seal set last_seq = last_seq - 100, first_seq = first_seq - 100 where first_seq > 5`,
    ['inserted 6-6', 'changed 7-7', 'changed 8-11'],
  ],
  [
    'two batches that changed places with their seals',
    `update seal set last_seq = 99 where last_seq = 6; update event set seq = 99 where seq = 6;
     update event set seq = seq - 1 where seq between 7 and 10; update seal set first_seq = 6, last_seq = 9 where last_seq = 10;
     update event set seq = 10 where seq = 99; update seal set first_seq = 10, last_seq = 10 where last_seq = 99`,
    ['unlinked 6-9', 'changed 6-9', 'unlinked 10-10', 'changed 10-10'],
  ],
  [
    'a seal made with another key',
    `update event set actor = 'person:eve' where seq = 6; update seal set key_id = 'aaaa' where last_seq = 6`,
    ['other-key 6-6'],
  ],
  ['every seal thrown away', `delete from seal`, ['inserted 1-10']],
]

test('whoever looks at the newest batches alone sees what is wrong in them, and nothing of what lies before', async () => {
  await using made = await sealed()
  const first = (most: number | null) =>
    made.database.read((reader) => firstDamage(reader, made.database.sealKey!, most))
  assert.deepEqual([await first(2), await first(99), await first(null)], [null, null, null])
  made.tamper(`update event set actor = 'person:eve' where seq = 4`)
  const changed = (batch: { kind: string; first: number; last: number } | null) =>
    batch && `${batch.kind} ${batch.first}-${batch.last}`
  assert.deepEqual(
    [await first(2), changed(await first(3)), changed(await first(99))],
    [null, 'changed 3-5', 'changed 3-5'],
  )
  made.tamper(`update event set actor = 'person:eve' where seq = 8`)
  assert.deepEqual([changed(await first(2)), changed(await first(null))], ['changed 7-10', 'changed 3-5'])
})

for (const [what, sql, found] of tampering)
  test(`tampering shows: ${what}`, async () => {
    await using made = await sealed()
    made.tamper(sql)
    const report = await made.verify()
    assert.deepEqual([report.ok, kinds(report)], [false, found])
  })

test('tampering shows: an older copy of the whole database, also after it has gone on from there', async () => {
  await using made = await sealed()
  const older = `${made.path}.older`
  made.tamper(`vacuum into '${older}'`)
  const add = (database: Database, task: string) =>
    database.write((tx) => append(tx, { at: 0, actor: 'x', stream: `task/${task}`, events: [added(task)] }))
  await add(made.database, 'task_later')
  const anchor = await made.database.anchor()
  assert.equal((await made.verify()).ok, true)
  for (const beside of ['key', 'anchors']) copyFileSync(`${made.path}.${beside}`, `${older}.${beside}`)
  const rolled = openDatabase(older)
  assert.deepEqual(kinds(await verifyLog(rolled)), ['rolled-back 11-11'])
  await add(rolled, 'task_instead')
  assert.deepEqual(kinds(await verifyLog(rolled)), ['rolled-back 11-11'])
  // the file of anchors is gone too, and a landing commit still knows
  rmSync(anchorFile(older))
  assert.deepEqual(kinds(await verifyLog(rolled)), [])
  const elsewhere = [{ ...anchor!, where: 'landing c0ffee' }]
  assert.deepEqual((await verifyLog(rolled, elsewhere)).damage, [
    { kind: 'rolled-back', first: 11, last: 11, why: 'landing c0ffee knows another seal here' },
  ])
  const stranger = [{ ...anchor!, key: '0123456789abcdef', where: 'landing of another account' }]
  const asked = await verifyLog(rolled, stranger)
  assert.deepEqual([asked.ok, asked.anchors, asked.foreign], [true, 0, 1])
  rolled.close()
})

test('a log that lost sealed events takes no more: the next writer is told, and nothing is written over', async () => {
  await using made = await sealed()
  made.tamper('delete from event where seq > 8')
  await assert.rejects(made.commit(1), (error) => isFault(error, 'log-shortened'))
  assert.deepEqual(kinds(await made.verify()), ['truncated 7-10'])
})

test('events smuggled in behind the last seal are not sealed by the next honest commit', async () => {
  await using made = await sealed()
  made.tamper(`insert into event select 11, at, stream, 99, type, actor, body from event where seq = 1`)
  await made.commit(2)
  assert.deepEqual(kinds(await made.verify()), ['inserted 11-11'])
})

test('the key is drawn once, readable by its owner alone, and an unsafe or damaged one is refused', async () => {
  await using made = await sealed()
  const key = `${made.path}.key`
  assert.equal(statSync(key).mode & 0o777, 0o600)
  const drawn = readFileSync(key, 'utf8')
  openDatabase(made.path).close()
  assert.equal(readFileSync(key, 'utf8'), drawn)
  chmodSync(key, 0o640)
  assert.throws(
    () => openDatabase(made.path),
    (error) => isFault(error, 'secret-unsafe'),
  )
  chmodSync(key, 0o600)
  writeFileSync(key, 'short')
  assert.throws(
    () => openDatabase(made.path),
    (error) => isFault(error, 'secret-unsafe'),
  )
  rmSync(key)
  const looking = openDatabase(made.path, { readOnly: true })
  await assert.rejects(verifyLog(looking), (error) => isFault(error, 'seal-key-gone'))
  assert.equal(existsSync(key), false, 'looking makes none')
  looking.close()
})

test('an anchor is written once in 64 events, at once when asked, and a line cut short by a power cut says nothing', async () => {
  await using made = await sealed()
  await made.commit(53)
  assert.deepEqual(readAnchors(made.path), [])
  await made.commit(1)
  const [first] = readAnchors(made.path)
  assert.equal(first?.seq, 64)
  const asked = await made.database.anchor()
  assert.deepEqual(readAnchors(made.path), [first, asked])
  appendFileSync(anchorFile(made.path), '99 abc')
  const report = await made.verify()
  assert.deepEqual([report.ok, report.anchors], [true, 2])
})

test('a log older than its seals is sealed as it was found, says so, and later changes of it show', async () => {
  await using made = await sealed()
  const path = `${made.path}.old`
  const before = migrations().findIndex(({ name }) => name.endsWith('-seal.sql'))
  const old = new DatabaseSync(path)
  for (const { sql } of migrations().slice(0, before)) old.exec(sql)
  old.exec(`attach '${made.path}' as made; insert into event select * from made.event`)
  old.exec(`pragma user_version = ${before}; pragma application_id = ${0x54524941}`)
  old.close()
  const upgraded = openDatabase(path)
  const whole = { ok: true, events: 10, batches: 1, anchors: 0, foreign: 0, adopted: 10, unproven: null, damage: [] }
  assert.deepEqual(await verifyLog(upgraded), whole)
  await upgraded.write((tx) => append(tx, { at: 0, actor: 'x', stream: 'task/task_n', events: [added('task_n')] }))
  assert.equal((await verifyLog(upgraded)).ok, true)
  made.tamper(
    `attach '${path}' as old; drop trigger old.event_is_never_updated; update old.event set actor = 'person:eve' where seq = 3`,
  )
  assert.deepEqual(kinds(await verifyLog(upgraded)), ['changed 1-10'])
  upgraded.close()
})

/** A log whose key is gone, and the file of it. */
async function keyless(): Promise<Lab & { key: string }> {
  const made = await sealed()
  const key = `${made.path}.key`
  rmSync(key)
  return Object.assign(made, { key })
}

const write = (database: Database, task: string) =>
  database.write((tx) => append(tx, { at: 0, actor: 'x', stream: `task/${task}`, events: [added(task)] }))

test('without its key nothing is appended and no other one is drawn; what writes no event still does, and put back it all goes on', async () => {
  await using made = await sealed()
  const key = `${made.path}.key`
  renameSync(key, `${key}.away`)
  const opened = openDatabase(made.path)
  assert.deepEqual([opened.sealKey, existsSync(key)], [null, false])
  await assert.rejects(write(opened, 'task_x'), (error) => {
    assert.ok(isFault(error, 'seal-key-gone'))
    assert.ok(error.message.endsWith(`it lay at ${key}`), error.message)
    return true
  })
  await opened.write((tx) => tx.run("insert into repo (id, path, name, base) values ('r', 'p', 'n', 'b')"))
  await assert.rejects(verifyLog(opened), (error) => isFault(error, 'seal-key-gone'))
  opened.close()
  renameSync(`${key}.away`, key)
  const again = openDatabase(made.path)
  await write(again, 'task_x')
  assert.equal((await verifyLog(again)).ok, true)
  again.close()
})

test('nor with another key in its place, and whoever has the database but not the key gains nothing by throwing the seals away', async () => {
  await using made = await keyless()
  made.tamper('pragma wal_checkpoint(full)')
  writeFileSync(made.key, `${'a'.repeat(64)}\n`, { mode: 0o600 })
  const other = openDatabase(made.path)
  await assert.rejects(write(other, 'task_x'), (error) => isFault(error, 'seal-key-other'))
  other.close()
  rmSync(made.key)
  made.tamper('delete from seal')
  const bare = openDatabase(made.path)
  await assert.rejects(write(bare, 'task_x'), (error) => isFault(error, 'seal-key-gone'))
  assert.equal(existsSync(made.key), false)
  bare.close()
})

test('a daemon that was killed leaves its WAL, and with another key beside it that is still known as its own', async () => {
  await using made = await keyless()
  const copy = `${made.path}.killed`
  const file = new DatabaseSync(made.path)
  file.exec('pragma wal_checkpoint(full)')
  await made.commit(1)
  for (const end of ['', '-wal']) copyFileSync(`${made.path}${end}`, `${copy}${end}`)
  file.close()
  chmodSync(copy, 0o600)
  writeFileSync(`${copy}.key`, `${'a'.repeat(64)}\n`, { mode: 0o600 })
  const opened = openDatabase(copy)
  await assert.rejects(write(opened, 'task_x'), (error) => isFault(error, 'seal-key-other'))
  opened.close()
})
