/** Laws of the writer: who shares a commit, who is undone alone, when an answer is given, and what is refused at the door. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as turn } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { isFault } from '../host/fault.ts'
import { openDatabase, type Database, type Tx } from './database.ts'
import { migrations } from './migrate.ts'

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'store-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'state', 'tasks.db')
}

async function opened(t: TestContext): Promise<Database> {
  const database = openDatabase(await scratch(t))
  t.after(() => database.close())
  return database
}

const put = (tx: Tx, tree: string) => tx.run(`insert into gate_result values (:tree, 'k', '{}', 0)`, { tree })
const trees = async (database: Database): Promise<string[]> =>
  (await database.read((reader) => reader.all<{ tree: string }>('select tree from gate_result order by tree'))).map(
    ({ tree }) => tree,
  )
const faultOf = (open: () => unknown): string | null => {
  try {
    open()
    return null
  } catch (error) {
    return isFault(error) ? error.code : `no fault: ${String(error)}`
  }
}

/** A second connection, as another process would have. */
function stranger(database: Database): DatabaseSync {
  return new DatabaseSync(database.path, { readOnly: true })
}

test('all who write in the same turn share one commit, and each is answered only when it is on disk', async (t) => {
  const database = await opened(t)
  const other = stranger(database)
  t.after(() => other.close())
  const count = () => (other.prepare('select count(*) as n from gate_result').get() as { n: number }).n
  const seen: number[] = []
  const writes = ['a', 'b', 'c'].map((tree) =>
    database
      .write(async (tx) => {
        await put(tx, tree)
        assert.equal(count(), 0, 'nothing is visible before the commit')
      })
      .then(() => seen.push(count())),
  )
  await Promise.all(writes)
  assert.deepEqual(seen, [3, 3, 3], 'the first was answered after the commit of all three')
})

test('what may be lost at a power cut is never acknowledged: each commit is synced', async (t) => {
  const database = await opened(t)
  const pragma = (name: string) => database.write((tx) => tx.get(`pragma ${name}`))
  assert.deepEqual(
    [await pragma('synchronous'), await pragma('journal_mode'), await pragma('foreign_keys')].map((row) =>
      Object.values(row as object),
    ),
    [[2], ['wal'], [1]],
  )
})

test('a caller that throws undoes its own part alone, and gets its own error back', async (t) => {
  const database = await opened(t)
  const answers = await Promise.allSettled([
    database.write((tx) => put(tx, 'a')),
    database.write(async (tx) => {
      await put(tx, 'b')
      throw new Error('changed my mind')
    }),
    database.write(async (tx) => {
      await put(tx, 'c')
      await put(tx, 'a')
    }),
    database.write((tx) => tx.run('insert into nowhere values (1)')),
    database.write((tx) => put(tx, 'd')),
  ])
  assert.deepEqual(
    answers.map((each) => (each.status === 'rejected' ? (each.reason as Error).message : 'done')),
    [
      'done',
      'changed my mind',
      'UNIQUE constraint failed: gate_result.tree, gate_result.key',
      'no such table: nowhere',
      'done',
    ],
  )
  const rows = await database.read((reader) =>
    reader.all<{ tree: string }>('select tree from gate_result order by tree'),
  )
  assert.deepEqual(
    rows.map(({ tree }) => tree),
    ['a', 'd'],
  )
})

test('whoever throws in whatever order, exactly the others are there, and their listeners were called in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 600 }), async (goes) => {
      const database = openDatabase(':memory:')
      const heard: number[] = []
      await Promise.allSettled(
        goes.map((well, n) =>
          database.write(async (tx) => {
            tx.afterCommit(() => heard.push(n))
            await put(tx, String(n).padStart(4, '0'))
            if (!well) throw new Error('no')
          }),
        ),
      )
      const expected = goes.flatMap((well, n) => (well ? [n] : []))
      const rows = await database.read((reader) =>
        reader.all<{ tree: string }>('select tree from gate_result order by tree'),
      )
      assert.deepEqual([rows.map(({ tree }) => Number(tree)), heard], [expected, expected])
      database.close()
    }),
    { seed: 2026, numRuns: 20 },
  )
})

test('a listener hears of a commit only when another process could read it, and never of one that was undone', async (t) => {
  const database = await opened(t)
  const other = stranger(database)
  t.after(() => other.close())
  const heard: unknown[] = []
  const listen = (tx: Tx) =>
    tx.afterCommit(() => heard.push(other.prepare('select count(*) as n from gate_result').get()))
  await database.write(async (tx) => {
    listen(tx)
    await put(tx, 'a')
    assert.deepEqual(heard, [])
  })
  await assert.rejects(
    database.write(async (tx) => {
      listen(tx)
      throw new Error('no')
    }),
  )
  assert.deepEqual(
    heard.map((row) => ({ ...(row as object) })),
    [{ n: 1 }],
  )
})

test('something foreign awaited inside a transaction fails loudly, at once, and blames nobody else', async (t) => {
  const database = await opened(t)
  const answers = await Promise.allSettled([
    database.write((tx) => put(tx, 'a')),
    database.write(async (tx) => {
      await put(tx, 'b')
      await turn()
      await turn()
    }),
    database.write(async (tx) => {
      await put(tx, 'c')
      await new Promise(() => {})
    }),
    database.write((tx) => put(tx, 'd')),
  ])
  assert.deepEqual(
    answers.map((each) =>
      each.status === 'rejected' ? /something foreign was awaited/.test(String(each.reason)) : 'done',
    ),
    ['done', true, true, 'done'],
  )
  assert.deepEqual(await trees(database), ['a', 'd'])
})

test('a transaction that is over writes nothing any more: whoever kept it is told so', async (t) => {
  const database = await opened(t)
  let kept: Tx | null = null
  await database.write(async (tx) => void (kept = tx))
  await assert.rejects(put(kept!, 'late'), /the transaction is over/)
  const straggler = database.write(async (tx) => {
    await turn()
    await put(tx, 'straggler')
  })
  await assert.rejects(straggler)
  await Promise.all([database.write((tx) => put(tx, 'a')), turn()])
  assert.deepEqual(await trees(database), ['a'])
})

test('a reader sees one moment however much is written meanwhile, and writes nothing', async (t) => {
  const database = await opened(t)
  await database.write((tx) => put(tx, 'a'))
  const all = 'select count(*) as n from gate_result'
  const seen = await database.read(async (reader) => {
    const before = await reader.get<{ n: number }>(all)
    await database.write((tx) => put(tx, 'b'))
    return [before!.n, (await reader.get<{ n: number }>(all))!.n]
  })
  assert.deepEqual(seen, [1, 1])
  assert.equal((await trees(database)).length, 2)
  await assert.rejects(database.read((reader) => reader.all("delete from gate_result where tree = 'a' returning tree")))
  await assert.rejects(
    database.read(() => Promise.reject(new Error('no'))),
    /^Error: no$/,
  )
  assert.equal((await trees(database)).length, 2)
})

test('where all went well until the commit, and that fails, nobody is told that it is done', async (t) => {
  const database = await opened(t)
  await database.write(async (tx) => {
    await tx.run('create table lender (name text primary key)')
    await tx.run('create table debt (owed_to text references lender (name) deferrable initially deferred)')
  })
  const answers = await Promise.allSettled([
    database.write((tx) => put(tx, 'a')),
    database.write((tx) => tx.run("insert into debt values ('nobody')")),
  ])
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await database.write((tx) => put(tx, 'b'))
  assert.deepEqual(await trees(database), ['b'])
})

test('when the commit cannot begin nobody is told it went well, and the next one is not hurt by it', async (t) => {
  const path = await scratch(t)
  const database = openDatabase(path, { busyMs: 0 })
  t.after(() => database.close())
  const other = new DatabaseSync(path)
  other.exec('begin immediate')
  const heard: string[] = []
  const answers = await Promise.allSettled(
    ['a', 'b'].map((tree) =>
      database.write(async (tx) => {
        tx.afterCommit(() => heard.push(tree))
        await put(tx, tree)
      }),
    ),
  )
  other.exec('rollback')
  other.close()
  assert.deepEqual(
    answers.map((each) => each.status === 'rejected' && isFault(each.reason) && each.reason.code),
    ['database-unusable', 'database-unusable'],
  )
  await database.write((tx) => put(tx, 'c'))
  assert.deepEqual([await trees(database), heard], [['c'], []])
})

test('a new database is for its owner alone, has all migrations, and is opened again as it is', async (t) => {
  const path = await scratch(t)
  const database = openDatabase(path)
  const version = await database.read((reader) => reader.get<{ user_version: number }>('pragma user_version'))
  assert.equal(version!.user_version, migrations().length)
  await database.write((tx) => put(tx, 'a'))
  database.close()
  assert.deepEqual([(await stat(path)).mode & 0o777, (await stat(join(path, '..'))).mode & 0o777], [0o600, 0o700])
  const again = openDatabase(path)
  assert.deepEqual(await trees(again), ['a'])
  again.close()
})

test('a database of a newer program, of another program, or of none is refused and left as it was', async (t) => {
  const path = await scratch(t)
  openDatabase(path).close()
  const raw = new DatabaseSync(path)
  raw.exec(`pragma user_version = ${migrations().length + 1}`)
  raw.close()
  assert.equal(
    faultOf(() => openDatabase(path)),
    'schema-newer',
  )
  const elsewhere = join(path, '..', 'theirs')
  const foreign = join(elsewhere, 'tasks.db')
  mkdirSync(join(elsewhere, 'backups'), { recursive: true })
  const wayBack = join(elsewhere, 'backups', 'tasks.db.schema-3')
  await writeFile(wayBack, 'ours, as it was before it left schema 3')
  const theirs = new DatabaseSync(foreign)
  theirs.exec('create table song (title text); pragma user_version = 3')
  theirs.close()
  const before = readFileSync(foreign)
  assert.equal(
    faultOf(() => openDatabase(foreign)),
    'not-ours',
  )
  assert.deepEqual(readFileSync(foreign), before, 'to the byte')
  assert.equal(readFileSync(wayBack, 'utf8'), 'ours, as it was before it left schema 3')
  assert.deepEqual(readdirSync(elsewhere).toSorted(), ['backups', 'tasks.db'])
  const text = join(path, '..', 'text.db')
  await writeFile(text, 'not a database, but long enough to be looked at as one '.repeat(40))
  assert.equal(
    faultOf(() => openDatabase(text)),
    'database-damaged',
  )
  assert.equal(
    faultOf(() => openDatabase(join(path, '..', 'gone.db'), { readOnly: true })),
    'database-missing',
  )
})

test('migrations are numbered from one without a gap or a number used twice, so that all databases had the same ones', () => {
  const numbers = migrations().map(({ name }) => Number(/^(\d{4})-[a-z-]+\.sql$/.exec(name)?.[1]))
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  )
})

test('a migration that fails half way leaves the database as it was before all of them', async (t) => {
  const path = await scratch(t)
  openDatabase(path).close()
  rmSync(path)
  const raw = new DatabaseSync(path)
  raw.exec(`create table pause (x); pragma application_id = ${0x54524941}`) // a later one will find its table there already
  raw.close()
  assert.match(faultOf(() => openDatabase(path)) ?? 'opened', /table pause already exists/)
  const after = new DatabaseSync(path)
  assert.deepEqual(
    [after.prepare('pragma user_version').get(), after.prepare('select name from sqlite_schema').all()].map((each) =>
      JSON.stringify(each),
    ),
    ['{"user_version":0}', '[{"name":"pause"}]'],
  )
  after.close()
})

test('a database on a network is refused, whether it is there or not, and nothing is made', async (t) => {
  const path = await scratch(t)
  assert.equal(
    faultOf(() => openDatabase(path, { fileSystemType: () => 0x6969 })),
    'network-file-system',
  )
  await assert.rejects(stat(path))
  openDatabase(path, { fileSystemType: () => 0xef53 }).close()
  assert.equal(
    faultOf(() => openDatabase(path, { readOnly: true, fileSystemType: () => 0xff534d42 })),
    'network-file-system',
  )
})

test('who says how to wait is not stopped while another process writes, and writes as soon as it has', async (t) => {
  const path = await scratch(t)
  let looks = 0
  const other = () => new DatabaseSync(path)
  const wait = async () => {
    looks += 1
    await turn()
    if (looks === 3) writing.exec('commit')
  }
  const database = openDatabase(path, { wait })
  t.after(() => database.close())
  const writing = other()
  t.after(() => writing.close())
  writing.exec("begin immediate; insert into gate_result values ('a', 'k', '{}', 0)")
  await Promise.all([database.write((tx) => put(tx, 'b')), database.write((tx) => put(tx, 'c'))])
  assert.deepEqual([await trees(database), looks], [['a', 'b', 'c'], 3])
})

test('it does not wait for ever: then everyone who wanted to write is told, and the next may try', async (t) => {
  const path = await scratch(t)
  let looks = 0
  const database = openDatabase(path, { busyMs: 20, wait: async () => void (looks += 1) })
  t.after(() => database.close())
  const writing = new DatabaseSync(path)
  t.after(() => writing.close())
  writing.exec('begin immediate')
  const both = await Promise.allSettled([database.write((tx) => put(tx, 'a')), database.write((tx) => put(tx, 'b'))])
  assert.deepEqual(
    both.map((each) => each.status === 'rejected' && isFault(each.reason) && each.reason.code),
    ['database-unusable', 'database-unusable'],
  )
  assert.equal(looks, 10)
  writing.exec('rollback')
  await database.write((tx) => put(tx, 'c'))
  assert.deepEqual(await trees(database), ['c'])
})
