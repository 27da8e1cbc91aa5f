/** Laws of a backup: it is one moment of the database however much is written meanwhile, whole, its owner's alone, and found damaged where it is. */
import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { added } from '../core/fixture.ts'
import { isRefusal } from '../core/refusal.ts'
import { isFault } from '../host/fault.ts'
import { realWorld, type World } from '../host/world.ts'
import { readAnchors } from './anchor.ts'
import { backupFolder, lastBackupAt, listBackups, pruneBackups, takeBackup } from './backup.ts'
import { openDatabase, type Database } from './database.ts'
import { lastSeq } from './log.ts'
import { append } from './append.ts'
import { migrations } from './migrate.ts'
import { verifyBackup } from './verify-backup.ts'

const real = realWorld()
const ended = { code: 0, signal: null }

async function opened(t: TestContext): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-backup-'))
  const database = openDatabase(join(folder, 'state', 'tasks.db'))
  t.after(async () => {
    database.close()
    await rm(folder, { recursive: true, force: true })
  })
  return database
}

const add = (database: Database, task: string) =>
  database.write((tx) => append(tx, { at: 1, actor: 'person:ada', stream: `task/${task}`, events: [added(task)] }))

const take = (database: Database, world: World = real) => takeBackup({ world, database: database.path, kind: 'backup' })

async function verify(database: Database, file: string) {
  const report = await verifyBackup(database.path, file, () => {})
  assert.ok(!isRefusal(report))
  return report
}

const whole = ['pages', 'references', 'schema', 'log', 'tables'].map((what) => ({ what, problems: [] }))

test('a backup is one plain file of its own, whole, 0600, without the key, and beside it the anchors it is at one with', async (t) => {
  const database = await opened(t)
  for (const task of ['task_a', 'task_b', 'task_c']) await add(database, task)
  const { file, ...taken } = await take(database)
  assert.deepEqual(taken, {
    kind: 'backup',
    at: taken.at,
    bytes: statSync(file).size,
    schema: migrations().length,
    events: 3,
  })
  assert.deepEqual(readdirSync(dirname(file)).toSorted(), [basename(file), `${basename(file)}.anchors`])
  const modes = [dirname(file), file, `${file}.anchors`].map((each) => statSync(each).mode & 0o777)
  assert.deepEqual(modes, [0o700, 0o600, 0o600])
  assert.equal(readFileSync(file).includes(readFileSync(`${database.path}.key`, 'utf8').trim()), false)
  const report = await verify(database, file)
  assert.deepEqual([report.ok, report.events, report.looked], [true, 3, whole])
  assert.deepEqual(
    [readAnchors(file).at(-1)?.mac, readAnchors(database.path).at(-1)?.mac],
    [report.seal?.mac, report.seal?.mac],
  )
  assert.deepEqual(
    listBackups(database.path).map((each) => [each.file, each.kind, each.at, each.events, each.schema]),
    [[file, 'backup', taken.at, 3, migrations().length]],
  )
})

test('a backup taken while others write holds everything acknowledged before it began, and is one moment', async (t) => {
  const database = await opened(t)
  let n = 0
  let writing = true
  const writer = async () => {
    while (writing) {
      await add(database, `task_${++n}`)
      await turn() // a write never leaves the microtask queue: nobody else would get to do anything
    }
  }
  for (let each = 0; each < 60; each += 1) await add(database, `task_early${each}`)
  const writers = Promise.all([writer(), writer(), writer()])
  let copies = 0
  /** The moment between the copy of the file and that of its WAL is made long: 150 commits and a checkpoint fall into it. */
  const slow: World = {
    ...real,
    async spawn(spec) {
      const child = await real.spawn(spec)
      if ((copies += 1) > 1) return child
      const { code } = await child.exit
      const before = n
      while (n < before + 150) await add(database, `task_between${++n}`)
      const other = new DatabaseSync(database.path)
      other.exec('pragma wal_checkpoint(passive)')
      other.close()
      return { ...child, exit: Promise.resolve({ ...ended, code }) }
    },
  }
  const before = await database.read(lastSeq)
  const taken = await take(database, slow).finally(() => (writing = false))
  const after = await database.read(lastSeq)
  await writers
  assert.equal(copies, 2, 'both the file and its WAL were copied')
  assert.ok(taken.events >= before && taken.events <= after, `${before} <= ${taken.events} <= ${after}`)
  const report = await verify(database, taken.file)
  assert.deepEqual([report.ok, report.events, report.looked], [true, taken.events, whole])
})

test('a copy that fails leaves nothing under its name, and says why', async (t) => {
  const database = await opened(t)
  await add(database, 'task_a')
  const none: World = { ...real, spawn: (spec) => real.spawn({ ...spec, file: 'false' }) }
  await assert.rejects(take(database, none), (error) => isFault(error, 'copy-failed'))
  assert.deepEqual(readdirSync(backupFolder(database.path)), [])
  const full: World = {
    ...real,
    spawn: (spec) =>
      real.spawn({
        ...spec,
        file: 'sh',
        args: ['-c', 'echo "cp: error writing x: No space left on device" >&2; exit 1'],
      }),
  }
  await assert.rejects(take(database, full), (error) => isFault(error, 'disk-full'))
  const into = join(dirname(database.path), 'mine.db')
  await writeFile(into, 'mine')
  await assert.rejects(takeBackup({ world: real, database: database.path, kind: 'backup', into }), (error) =>
    isFault(error, 'backup-exists'),
  )
  assert.equal(readFileSync(into, 'utf8'), 'mine')
})

const flip = (file: string, at: number) => {
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.from([0xa5]), 0, 1, at)
  closeSync(handle)
}

const damages: [what: string, how: (file: string) => void, found: RegExp][] = [
  ['a flipped byte in its header', (file) => flip(file, 3), /^pages: .*not a database/],
  ['its end cut off', (file) => truncateSync(file, Math.floor(statSync(file).size / 2)), /^pages: .*malformed/],
  ['a flipped byte in a page', (file) => flip(file, 4096 * 2 + 3), /^(pages|log|tables): /],
  [
    'a flipped byte in a row of the log',
    (file) => {
      const bytes = readFileSync(file)
      const actor = 'task.addedperson:ada' // type and actor of an event, side by side as they are only in its row
      for (let at = bytes.indexOf(actor); at >= 0; at = bytes.indexOf(actor, at + 1)) flip(file, at + 17)
    },
    /^log: changed/,
  ],
  [
    'a row changed behind its back',
    (file) => {
      const db = new DatabaseSync(file)
      db.exec("update task set lane = 'critical'")
      db.close()
    },
    /^tables: task task_/,
  ],
]

for (const [what, damage, found] of damages)
  test(`a backup with ${what} is not to be trusted`, async (t) => {
    const database = await opened(t)
    for (let n = 0; n < 60; n += 1) await add(database, `task_${n}`)
    const { file } = await take(database)
    damage(file)
    const { ok, looked } = await verify(database, file)
    const problems = looked.flatMap((each) => each.problems.map((problem) => `${each.what}: ${problem}`))
    assert.equal(ok, false)
    assert.match(problems[0] ?? '', found)
  })

test('a backup of another log, and one of a newer program, are told apart from ours', async (t) => {
  const [ours, theirs] = [await opened(t), await opened(t)]
  await add(ours, 'task_a')
  await add(theirs, 'task_b')
  const { file } = await take(theirs)
  const report = await verify(ours, file)
  assert.match(report.looked.find(({ what }) => what === 'log')!.problems[0]!, /^other-key 1-1/)
  const mine = await take(ours)
  const db = new DatabaseSync(mine.file)
  db.exec(`pragma user_version = ${migrations().length + 1}`)
  db.close()
  const refused = await verifyBackup(ours.path, mine.file, () => {})
  assert.equal(isRefusal(refused) && refused.refused, 'schema-newer')
})

test('a backup of an older schema is looked at as a restore would bring it up, and left as it was', async (t) => {
  const database = await opened(t)
  const folder = backupFolder(database.path)
  const file = join(folder, 'tasks.db.schema-6')
  const old = join(dirname(database.path), 'old.db')
  const db = new DatabaseSync(old)
  for (const { sql } of migrations().slice(0, 6)) db.exec(sql)
  db.exec(`pragma user_version = 6; pragma application_id = ${0x54524941}`)
  db.close()
  await take(database)
  await writeFile(file, readFileSync(old))
  const report = await verify(database, file)
  assert.deepEqual([report.ok, report.looked], [true, whole])
  assert.deepEqual(readFileSync(file), readFileSync(old))
  assert.deepEqual(
    listBackups(database.path)
      .map(({ kind }) => kind)
      .toSorted(),
    ['backup', 'schema'],
  )
})

test('of many backups the newest stay; what a restore or a migration put aside stays too, and so does what is not ours', async (t) => {
  const database = await opened(t)
  await add(database, 'task_a')
  let at = 1_800_000_000_000
  const later: World = { ...real, clock: { ...real.clock, now: () => (at += 60_000) } }
  for (let n = 0; n < 4; n += 1) await take(database, later)
  await takeBackup({ world: later, database: database.path, kind: 'replaced' })
  const folder = backupFolder(database.path)
  for (const name of ['tasks.db.schema-6', 'notes.txt', '.draft-999999999-tasks.db'])
    await writeFile(join(folder, name), '')
  assert.equal(lastBackupAt(database.path), 1_800_000_000_000 + 4 * 60_000)
  const removed = await pruneBackups(database.path, 2)
  assert.deepEqual(removed, ['tasks-2027-01-15T08-01-00-000Z.db', 'tasks-2027-01-15T08-02-00-000Z.db'])
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => !name.endsWith('.anchors'))
      .toSorted(),
    [
      'notes.txt',
      'replaced-2027-01-15T08-05-00-000Z.db',
      'tasks-2027-01-15T08-03-00-000Z.db',
      'tasks-2027-01-15T08-04-00-000Z.db',
      'tasks.db.schema-6',
    ],
  )
  assert.equal(existsSync(join(folder, 'tasks-2027-01-15T08-02-00-000Z.db.anchors')), false)
})
