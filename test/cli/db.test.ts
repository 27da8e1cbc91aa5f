/** The database as an operator looks after it: made from the exported schema, checked, asked, upgraded, and gone back. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test, type TestContext } from 'node:test'
import { capture } from '../../src/host/process.ts'
import { openDatabase } from '../../src/store/database.ts'
import { migrations } from '../../src/store/migrate.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'
import { root } from '../harvest.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

/** A daemon of this person's would start: one family that answers nobody. */
async function configure(ada: Person): Promise<void> {
  const program = [process.execPath, join(dirname(built.program), 'scripted-agent.js')]
  const family = `{ agent: scripted, program: ${JSON.stringify(program)}, baseUrl: "http://127.0.0.1:9", keyFrom: { value: none }, models: gpt-6-sol }`
  await ada.write(
    '../.config/tri-agent/config.yaml',
    `rung: group\nhttp: { port: 0 }\nfamilies: { openai: ${family} }\n`,
  )
  chmodSync(ada.paths.configFile, 0o600)
  assert.equal((await ada.type(['init', '--yes'])).code, 0)
}

/** A daemon starts, hears of a task, and ends. */
async function worksWith(ada: Person, title: string): Promise<void> {
  const up = await ada.json(['up', '--detach', '--trust'])
  try {
    assert.equal(up['up'], true, JSON.stringify(up))
    assert.equal((await ada.json(['add', title]))['daemonHeard'], true)
  } finally {
    await ada.type(['down'])
  }
}

/** With this database in place, everything a person does first works, a daemon starts on it, and it is whole. */
async function accepted(ada: Person): Promise<void> {
  await configure(ada)
  await worksWith(ada, 'Sell tea')
  const { code, stdout } = await ada.type(['db', 'check'])
  assert.deepEqual([code, stdout], [0, 'pages       whole\nreferences  whole\nschema      whole\nlog         whole\n'])
}

test('an older copy put in the place of the database is refused by up, and taken by restore', async () => {
  await using ada = await person(built.program)
  await configure(ada)
  await worksWith(ada, 'Sell tea')
  const { database } = ada.paths
  const older = join(ada.home, 'older.db')
  assert.equal((await ada.type(['backup', '--to', older])).code, 0)
  await worksWith(ada, 'Sell coffee')
  for (const end of ['-wal', '-shm']) rmSync(`${database}${end}`, { force: true })
  copyFileSync(older, database)
  for (let words = 0; words < 2; words++) {
    const { code, stderr } = await ada.type(['up', '--detach', '--trust'])
    assert.equal(code, 1)
    assert.match(
      ada.still(stderr),
      /tasks\.db is an older copy: its log ends at event \d+, and its anchors know of event \d+\n {4}→ move it to another name, then: tri-agent restore THAT_FILE/,
    )
    assert.equal((await ada.type(['add', 'Sell water'])).code, 0) // what was added to it by hand makes it no newer
  }
  renameSync(database, join(ada.home, 'moved.db'))
  for (const end of ['-wal', '-shm']) rmSync(`${database}${end}`, { force: true })
  const restored = await ada.type(['restore', older])
  assert.equal(restored.code, 0, restored.stderr)
  await worksWith(ada, 'Sell cocoa')
  assert.equal((await ada.type(['log', 'verify'])).code, 0)
})

test('what docs/backup.md says to type, typed in its order', async () => {
  await using ada = await person(built.program)
  await configure(ada)
  await worksWith(ada, 'Sell tea')
  const page = readFileSync(join(root, 'docs/backup.md'), 'utf8')
  const lines = [...page.matchAll(/^```\n(.*?)^```/gms)].flatMap(([, block]) => block!.trim().split('\n'))
  assert.deepEqual(
    lines.map((line) => line.split(' ')[1]),
    ['backup', 'backup', 'backup', 'backup', 'restore', 'log', 'log', 'log', 'log'],
  )
  for (const line of lines) {
    const asks = line === 'tri-agent log adopt'
    if (asks) rmSync(`${ada.paths.database}.key`)
    const { code, stderr } = await ada.type(line.split(' ').slice(1))
    assert.equal(code, asks ? 1 : 0, `${line}: ${stderr}`)
    if (asks) assert.match(stderr, /nobody can ever prove .*\n.*tri-agent log adopt --yes/)
  }
  assert.equal(existsSync(join(ada.repository, '../elsewhere.db')), true)
  await worksWith(ada, 'Sell coffee')
})

test('a database made from the exported schema is one that up accepts', async () => {
  await using ada = await person(built.program)
  const { stdout: schema } = await ada.type(['db', 'export-schema'])
  mkdirSync(ada.paths.stateFolder, { recursive: true, mode: 0o700 })
  const made = new DatabaseSync(ada.paths.database)
  made.exec(schema)
  made.close()
  await accepted(ada)
})

test('sqlite3 tasks.db < schema.sql makes one that up accepts', async (t: TestContext) => {
  await using ada = await person(built.program)
  const { stdout: schema } = await ada.type(['db', 'export-schema'])
  mkdirSync(ada.paths.stateFolder, { recursive: true, mode: 0o700 })
  const how = { file: 'sqlite3', args: [ada.paths.database], cwd: ada.home, env: { PATH: ada.path, HOME: ada.home } }
  const ended = await capture(world.spawn, { ...how, stdin: schema }).catch(() => null)
  if (ended === null) return t.skip('there is no sqlite3 here')
  assert.deepEqual([ended.code, ended.stderr], [0, ''])
  await accepted(ada)
})

test('check says what is wrong, each thing under its own name', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const file = new DatabaseSync(ada.paths.database)
  file.exec(`drop index task_added; pragma foreign_keys = off; create table notes (task text references task (id)); insert into notes values ('nobody'); drop trigger event_is_never_updated;
    update event set actor = 'person:eve'`)
  file.close()
  const { code, stdout } = await ada.type(['db', 'check', '--json'])
  assert.deepEqual(
    [code, JSON.parse(stdout)],
    [
      1,
      {
        ok: false,
        looked: [
          { what: 'pages', problems: [] },
          { what: 'references', problems: ['notes row 1 points to no task'] },
          {
            what: 'schema',
            problems: [
              'table notes is not ours',
              'trigger event_is_never_updated is missing',
              'index task_added is missing',
            ],
          },
          { what: 'log', problems: ['changed 1-1: its events are not those that were sealed'] },
        ],
      },
    ],
  )
})

test('check says what is wrong with a database that cannot be read or does not even open, and what to do', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const path = ada.paths.database
  const whole = readFileSync(path)
  const checked = async (bytes: Uint8Array) => {
    writeFileSync(path, bytes)
    const { code, stdout } = await ada.type(['db', 'check'])
    assert.equal(code, 1)
    assert.match(stdout, /\nTo go back to a backup: tri-agent backup list, tri-agent restore latest\n$/)
    return ada.still(stdout)
  }
  assert.match(
    await checked(whole.subarray(0, whole.length / 2)),
    /^pages {7}1 problem\n {2}~\S+tasks\.db: database disk image is malformed\n/,
  )
  assert.match(await checked(new Uint8Array()), /^pages {7}1 problem\n {2}~\S+tasks\.db is empty, and it was not/)
  writeFileSync(path, whole)
  const file = new DatabaseSync(path)
  const { rootpage } = file.prepare("select rootpage from sqlite_schema where name = 'event'").get() as {
    rootpage: number
  }
  file.close()
  const holed = Buffer.from(whole)
  holed.fill(1, (rootpage - 1) * 4096, (rootpage - 1) * 4096 + 8)
  assert.match(
    await checked(holed),
    /^pages {7}\d+ problems?\n {2}[^]+\nreferences {2}whole\nschema {6}whole\nlog {9}1 problem\n {2}\S*tasks\.db: database disk/,
  )
})

test('rebuild makes nothing anew from a log that is not whole: what it lost, the tables alone still know', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.type(['add', 'Sell tea'])
  await ada.withDatabase((database) => database.write((tx) => tx.run("update task set title = 'Sell poison'")))
  assert.match((await ada.type(['rebuild'])).stdout, /1 row differed and were made anew/)
  const file = new DatabaseSync(ada.paths.database)
  file.exec("drop trigger event_is_never_deleted; delete from event where type = 'task.added'")
  file.close()
  for (const words of [['rebuild', '--verify'], ['rebuild']]) {
    const { code, stdout, stderr } = await ada.type(words)
    assert.equal(code, 1)
    assert.match(stdout + stderr, /the log is not whole \(truncated 2-2: the log ends at 1, its seals at 2\)/)
    assert.match(stdout + stderr, /tri-agent log verify, tri-agent restore latest/)
  }
  const { tasks } = (await ada.json(['list'])) as { tasks: { title: string }[] }
  assert.deepEqual(
    tasks.map(({ title }) => title),
    ['Sell tea'],
  )
})

test('a byte of the log that is flipped is refused by up, with what to do, and a backup of before is the way on', async () => {
  await using ada = await person(built.program)
  await configure(ada)
  await worksWith(ada, 'Sell tea')
  const { file } = (await ada.json(['backup'])) as { file: string }
  const bytes = readFileSync(ada.paths.database)
  for (let at = bytes.indexOf('Sell tea'); at >= 0; at = bytes.indexOf('Sell tea', at + 1)) bytes[at] = 0x62
  writeFileSync(ada.paths.database, bytes)
  const { code, stderr } = await ada.type(['up', '--trust'])
  assert.equal(code, 1)
  assert.match(
    ada.still(stderr),
    /tasks\.db is damaged: changed \d+-\d+: its events are not those that were sealed\n {2}→ tri-agent db check says all of it; tri-agent backup list, tri-agent restore latest\n$/,
  )
  assert.equal((await ada.type(['restore', file])).code, 0)
  await worksWith(ada, 'Sell coffee')
})

test('the shell answers and only looks: nothing is written to this file or another, and what follows a refusal is not executed', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const shell = (...args: string[]) => ada.type(['db', 'shell', '--read-only', ...args])
  assert.equal((await shell('-c', 'select name, base from repo')).stdout, 'name  base\nshop  main\n')
  assert.deepEqual((await ada.json(['db', 'shell', '-c', 'select 9007199254740993 as big, null as none'])) as unknown, [
    { big: '9007199254740993', none: null },
  ])
  const other = join(ada.home, 'other.db')
  for (const sql of [
    "update repo set name = 'x'",
    'drop table event',
    'pragma user_version = 1',
    `vacuum into '${other}'`,
    `attach '${other}' as other`,
    "select 1; delete from repo; select 'not reached'",
  ]) {
    const { code, stdout, stderr } = await shell('-c', sql)
    assert.equal(code, 1, sql)
    assert.match(stderr, /the shell only looks\n {2}→ what changes a task is a verb/, sql)
    assert.doesNotMatch(stdout, /not reached/)
  }
  assert.equal(existsSync(other), false)
  assert.match((await shell('-c', 'selec 1')).stderr, /near "selec": syntax error/)
  const typed = await ada.type(['db', 'shell'], { stdin: 'select\n  1 as one;\nnonsense;\nselect 2 as two' })
  assert.deepEqual([typed.code, typed.stdout], [1, 'one\n1\ntwo\n2\n'])
  assert.match(typed.stderr, /near "nonsense": syntax error/)
  assert.equal((await ada.type(['db', 'check'])).code, 0)
})

test('migrate copies the database as it was, and that copy is the way back', async () => {
  await using ada = await person(built.program)
  const known = migrations()
  const path = ada.paths.database
  assert.deepEqual(await ada.json(['db', 'migrate']), { path, from: 0, to: known.length, backup: null })
  rmSync(dirname(path), { recursive: true })
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const old = new DatabaseSync(path)
  for (const { sql } of known.slice(0, 5)) old.exec(sql)
  old.exec(`pragma user_version = 5; pragma application_id = ${0x54524941};
    insert into event (at, stream, version, type, actor, body) values
      (1, 'repo/repo_1', 1, 'repo.registered', 'person:ada', '{"repo":"repo_1","path":"/shop","name":"shop","base":"main"}');
    insert into repo (id, path, name, base) values ('repo_1', '/shop', 'shop', 'main')`)
  old.close()
  const backup = join(dirname(path), 'backups/tasks.db.schema-5')
  assert.deepEqual(await ada.json(['db', 'migrate']), { path, from: 5, to: known.length, backup })
  assert.deepEqual(await ada.json(['db', 'migrate']), { path, from: known.length, to: known.length, backup: null })
  assert.equal(statSync(backup).mode & 0o777, 0o600)
  assert.match((await ada.type(['log', 'verify'])).stdout, /Events 1 to 1 are older than the seals/)
  // the way back, and forward again: the same rows
  const repos = () => ada.withDatabase((database) => database.read((reader) => reader.all('select * from repo')))
  const before = await repos()
  for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
  copyFileSync(backup, path)
  const back = new DatabaseSync(path)
  assert.deepEqual({ ...back.prepare('pragma user_version').get() }, { user_version: 5 })
  assert.throws(() => back.prepare('select * from seal'), /no such table/)
  back.close()
  assert.deepEqual(await repos(), before)
})

test('a database of a newer program is refused, and the copy made before the upgrade is named', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  const path = ada.paths.database
  const to = migrations().length
  openDatabase(path).close()
  const file = new DatabaseSync(path)
  file.exec(`pragma user_version = ${to + 1}`)
  file.close()
  const hint = async () => ada.still((await ada.type(['list'])).stderr)
  assert.equal(
    await hint(),
    `tri-agent: ~/.local/state/tri-agent/tasks.db has schema ${to + 1}, this program knows up to ${to}\n  → use the newer tri-agent that wrote it, or restore a backup made before the upgrade\n`,
  )
  // what migrate would have made
  const before = join(dirname(path), `backups/tasks.db.schema-${to}`)
  mkdirSync(dirname(before), { mode: 0o700 })
  const copy = new DatabaseSync(path)
  copy.prepare('vacuum into ?').run(before)
  copy.close()
  const older = new DatabaseSync(before)
  older.exec(`pragma user_version = ${to}`)
  older.close()
  assert.match(
    await hint(),
    new RegExp(
      `go back to what it was before the upgrade: tri-agent restore ~/\\S+backups/tasks\\.db\\.schema-${to}\n$`,
    ),
  )
  assert.equal((await ada.type(['restore', before])).code, 0)
  assert.deepEqual((await ada.json(['db', 'migrate']))['to'], to)
  assert.equal((await ada.type(['list'])).code, 0)
  assert.equal((await ada.type(['log', 'verify'])).code, 0)
  assert.equal((await ada.type(['db', 'check'])).code, 0)
})
