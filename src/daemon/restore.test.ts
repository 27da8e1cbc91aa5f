/** Laws of a restore: the log explains exactly the gap it leaves, money and epochs never go back, the way back is open, and nobody writes meanwhile. */
import assert from 'node:assert/strict'
import { appendFileSync, copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { added } from '../core/fixture.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { defaultSettings } from '../core/setting.ts'
import { isFault } from '../host/fault.ts'
import { findPaths, makeFolders, type Paths } from '../host/path.ts'
import { bootId, startTimeOf } from '../host/proc.ts'
import { realWorld } from '../host/world.ts'
import { anchorFile } from '../store/anchor.ts'
import { backupFolder, takeBackup } from '../store/backup.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { takeEpoch } from '../store/lease.ts'
import { setLimit } from '../store/ledger.ts'
import { accountOf } from '../store/account.ts'
import { append } from '../store/append.ts'
import { listTasks } from '../store/task.ts'
import { verifyLog, type LogReport } from '../store/verify-log.ts'
import { restore } from './restore.ts'

const world = realWorld()

type Lab = AsyncDisposable & {
  paths: Paths
  database: Database
  add(...tasks: string[]): Promise<void>
  backup(): Promise<string>
  restore(file: string, endDaemon?: () => Promise<Refusal | null>, adopt?: boolean): ReturnType<typeof restore>
  tasks(): Promise<string[]>
  verify(): Promise<LogReport>
  damage(): Promise<string[]>
  close(): void
}

async function lab(): Promise<Lab> {
  const home = await mkdtemp(join(tmpdir(), 'tri-agent-restore-'))
  const env = { HOME: home, PATH: '/usr/bin:/bin' }
  const paths = findPaths(env)
  await makeFolders(paths)
  const database = openDatabase(paths.database)
  let closed = false
  const made: Lab = {
    paths,
    database,
    async add(...tasks) {
      for (const task of tasks)
        await database.write((tx) =>
          append(tx, { at: 1, actor: 'person:ada', stream: `task/${task}`, events: [added(task)] }),
        )
    },
    backup: async () => (await takeBackup({ world, database: paths.database, kind: 'backup' })).file,
    restore: (file, endDaemon = async () => null, adopt = false) =>
      restore({
        world,
        env,
        paths,
        file,
        settings: defaultSettings(2),
        actor: 'person:ada',
        adopt,
        tell: () => {},
        endDaemon,
      }),
    tasks: async () =>
      (await database.read((reader) => listTasks(reader, { limit: 100 }))).map(({ id }) => id).toSorted(),
    verify: () => verifyLog(database),
    damage: async () => (await verifyLog(database)).damage.map(({ kind, first, last }) => `${kind} ${first}-${last}`),
    close() {
      if (!closed) database.close()
      closed = true
    },
    async [Symbol.asyncDispose]() {
      made.close()
      await rm(home, { recursive: true, force: true })
    },
  }
  return made
}

async function restored(made: Lab, file: string) {
  const done = await made.restore(file)
  if (isRefusal(done)) throw new Error(done.why)
  return done
}

test('after a restore the log is as it was then and goes on from there, and what it left behind is explained, over and over', async () => {
  await using made = await lab()
  await made.add('task_a')
  const first = await made.backup()
  await made.add('task_b', 'task_c')
  const second = await made.backup()
  await made.add('task_d')
  const { event, leftOut } = await restored(made, first)
  assert.deepEqual([event.from?.seq, event.left?.seq, leftOut], [1, 4, ['task_b', 'task_c', 'task_d']])
  assert.deepEqual([await made.tasks(), await made.damage()], [['task_a'], []])
  await made.add('task_e')
  await made.database.anchor()
  assert.deepEqual(await made.damage(), [])
  // the way back, with what was added meanwhile put aside
  const back = await restored(made, event.kept!)
  assert.deepEqual([await made.tasks(), await made.damage()], [['task_a', 'task_b', 'task_c', 'task_d'], []])
  assert.deepEqual(back.leftOut, ['task_e'])
  // and any other backup, of whichever of these histories
  await restored(made, second)
  assert.deepEqual([await made.tasks(), await made.damage()], [['task_a', 'task_b', 'task_c'], []])
  await restored(made, back.event.kept!)
  assert.deepEqual([await made.tasks(), await made.damage()], [['task_a', 'task_e'], []])
  assert.deepEqual(
    readdirSync(backupFolder(made.paths.database)).filter((name) => name.startsWith('.draft')),
    [],
  )
})

test('a restore explains its own gap and nothing else: not an older copy put back later, nor another anchor in its place', async () => {
  await using made = await lab()
  const { database } = made.paths
  await made.add('task_a')
  const file = await made.backup()
  await made.add('task_b', 'task_c', 'task_d', 'task_e')
  await restored(made, file)
  await made.add('task_f')
  const older = await made.backup() // event 3 of the new history
  const lines = readFileSync(anchorFile(database), 'latin1')
  await made.add('task_g')
  await made.database.anchor() // event 4, which the history left behind had too
  assert.deepEqual(await made.damage(), [])
  const looked = openDatabase(older, { readOnly: true, keyFile: `${database}.key` })
  const rolled = join(backupFolder(database), 'rolled.db')
  looked.close()
  copyFileSync(older, rolled)
  copyFileSync(anchorFile(database), anchorFile(rolled))
  const back = openDatabase(rolled, { readOnly: true, keyFile: `${database}.key` })
  assert.deepEqual(
    (await verifyLog(back)).damage.map(({ kind, first, last }) => `${kind} ${first}-${last}`),
    ['rolled-back 4-4'],
  )
  back.close()
  // an anchor more among those of before the restore, and all of them stand unexplained
  writeFileSync(anchorFile(database), lines.replace('\n', `\n3 ${'a'.repeat(64)} ${'b'.repeat(16)}\n`))
  assert.deepEqual((await made.damage()).length > 1, true)
  writeFileSync(anchorFile(database), lines)
  appendFileSync(anchorFile(database), `3 ${'a'.repeat(64)} ${'b'.repeat(16)}\n`)
  assert.deepEqual(await made.damage(), ['rolled-back 3-3'])
})

test('money, raised limits and epochs never go back, and no key of the old time lives on', async () => {
  await using made = await lab()
  const daemon = { pid: 1, boot_id: 'b', start_time: 1, started_at: 1 }
  await made.add('task_a')
  const file = await made.backup()
  await made.database.write(async (tx) => {
    for (let each = 0; each < 3; each += 1) await takeEpoch(tx, daemon)
    await setLimit(tx, 'task/task_a', 7)
    await tx.run(`insert into virtual_key (hash, attempt, task, repo, stage, family, models, scope, granted_at)
      values ('${'f'.repeat(64)}', 'att', 'task_a', 'r', 'plan', 'openai', '[]', 'task/task_a', 1)`)
    await tx.run(`insert into charge (hold, attempt, task, repo, stage, family, model, input, cached_input, cache_write, output, nano_usd, how, at, day)
      values (9, 'att', 'task_a', 'r', 'plan', 'openai', 'm', 1, 0, 0, 1, 500, 'exact', 1, '2026-11-28')`)
    await tx.run("update account set spent_nano_usd = 500 where scope = 'task/task_a'")
  })
  const { event } = await restored(made, file)
  assert.deepEqual([event.epoch, event.money], [4, 'counted'])
  const read = await made.database.read(async (reader) => ({
    account: await accountOf(reader, 'task/task_a'),
    charges: (await reader.all('select hold, nano_usd from charge')).map((row) => ({ ...(row as object) })),
    living: await reader.all('select hash from virtual_key where revoked_at is null'),
  }))
  assert.deepEqual([read.account?.limit, read.account?.spent], [7, 500])
  assert.deepEqual([read.charges, read.living], [[{ hold: 9, nano_usd: 500 }], []])
  assert.equal(await made.database.write((tx) => takeEpoch(tx, daemon)), 5)
})

test('a damaged backup is refused, a foreign one too, and nothing is touched', async () => {
  await using made = await lab()
  await made.add('task_a')
  const file = await made.backup()
  const bytes = readFileSync(file)
  bytes.write('Sell poison', bytes.indexOf('task.addedperson:ada') + 10)
  writeFileSync(file, bytes)
  const before = readFileSync(made.paths.database)
  const refused = await made.restore(file)
  assert.equal(isRefusal(refused) && refused.refused, 'backup-damaged')
  writeFileSync(file, 'a shopping list '.repeat(500))
  const other = await made.restore(file)
  assert.equal(isRefusal(other) && other.refused, 'backup-damaged')
  assert.deepEqual([readFileSync(made.paths.database), await made.tasks()], [before, ['task_a']])
  assert.equal(existsSync(`${made.paths.database}.restoring`), false)
})

test('while another process restores nobody commits, and once it is dead its mark says nothing', async () => {
  await using made = await lab()
  await made.add('task_a')
  const mark = `${made.paths.database}.restoring`
  const parent = process.ppid
  writeFileSync(mark, `${bootId()} ${parent} ${startTimeOf(parent)}`)
  await assert.rejects(made.add('task_b'), (error) => isFault(error, 'restoring'))
  await assert.rejects(made.restore(await made.backup()), (error) => isFault(error, 'restoring'))
  assert.deepEqual(await made.tasks(), ['task_a'])
  writeFileSync(mark, `${bootId()} ${parent} 1`)
  await made.add('task_c')
  assert.deepEqual(await made.tasks(), ['task_a', 'task_c'])
})

test('a database that is gone is restored too, and then the day counts as used, in sums that stay sums of charges', async () => {
  await using made = await lab()
  await made.add('task_a')
  const file = await made.backup()
  made.close()
  await rm(made.paths.database)
  const gone = await restored(made, file)
  assert.deepEqual([gone.event.kept, gone.event.money, gone.damaged], [null, 'day-closed', 'there was none'])
  const day = await (async () => {
    const opened = openDatabase(made.paths.database)
    const accounts = await opened.read((reader) =>
      reader.all<{ scope: string; spent_nano_usd: number }>('select * from account'),
    )
    opened.close()
    return accounts.map(({ scope, spent_nano_usd }) => [scope.split('/')[0], spent_nano_usd])
  })()
  assert.deepEqual(day, [
    ['day', 75e9],
    ['total', 75e9],
  ])
})

test('an older copy that lies in the place of the database does not tell what was spent, nor how many daemons there were', async () => {
  await using made = await lab()
  const daemon = { pid: 1, boot_id: 'b', start_time: 1, started_at: 1 }
  await made.add('task_a')
  const older = await made.backup()
  await made.database.write(async (tx) => {
    await setLimit(tx, 'task/task_a', 7)
    await tx.run(`insert into charge (hold, attempt, task, repo, stage, family, model, input, cached_input, cache_write, output, nano_usd, how, at, day)
      values (9, 'att', 'task_a', 'r', 'plan', 'openai', 'm', 1, 0, 0, 1, 500, 'exact', 1, '2026-11-28')`)
    await tx.run("update account set spent_nano_usd = 500 where scope = 'task/task_a'")
  })
  const file = await made.backup()
  await made.database.write((tx) => takeEpoch(tx, daemon))
  await made.add('task_b')
  await made.database.anchor()
  made.close()
  copyFileSync(older, made.paths.database)
  const { event, damaged } = await restored(made, file)
  assert.deepEqual([event.money, damaged], ['day-closed', 'it is damaged or an older copy'])
  assert.ok(event.epoch > 1, 'no lease or key of the time that is lost can be of an epoch to come')
  const opened = openDatabase(made.paths.database)
  const account = await opened.read((reader) => accountOf(reader, 'task/task_a'))
  opened.close()
  assert.deepEqual([account?.limit, account?.spent], [7, 500], 'nor does it take back what the backup knows')
})

test('a file is restored with the WAL that lies beside it', async () => {
  await using made = await lab()
  await made.add('task_a')
  const file = join(made.paths.stateFolder, 'moved.db')
  copyFileSync(made.paths.database, file)
  copyFileSync(`${made.paths.database}-wal`, `${file}-wal`)
  await made.add('task_b')
  await restored(made, file)
  assert.deepEqual([await made.tasks(), await made.damage()], [['task_a'], []])
})

test('a backup that was sealed with another key is refused, and what to do is to put that key back', async () => {
  await using made = await lab()
  await made.add('task_a')
  const file = await made.backup()
  writeFileSync(`${made.paths.database}.key`, `${'a'.repeat(64)}\n`)
  const refused = await made.restore(file)
  assert.ok(isRefusal(refused))
  assert.match(
    `${refused.why} → ${refused.hint}`,
    /other-key 1-1: .* → put the key of that log at \S+tasks\.db\.key, then try again; where there is no copy of it, .*: tri-agent restore \S+ --adopt$/,
  )
})

test('a backup whose key is lost is taken as it is where a person says so, with a new key, and the log says whose word that was', async () => {
  await using made = await lab()
  const { database: path } = made.paths
  await made.add('task_a')
  const file = await made.backup()
  await made.add('task_b')
  made.close()
  rmSync(`${path}.key`)
  const refused = await made.restore(file)
  assert.ok(isRefusal(refused))
  assert.equal(refused.refused, 'seal-key-gone')
  assert.match(refused.hint!, /take the backup as it is: tri-agent restore \S+ --adopt$/)
  const bytes = readFileSync(file)
  writeFileSync(file, 'a shopping list '.repeat(500))
  assert.ok(isRefusal(await made.restore(file, undefined, true)))
  assert.equal(existsSync(`${path}.key`), false, 'nothing came of it, and no key stays')
  writeFileSync(file, bytes)
  const done = await made.restore(file, undefined, true)
  assert.ok(!isRefusal(done))
  assert.equal(done.event.money, 'day-closed', 'the old log can be believed no more than the backup')
  const opened = openDatabase(path)
  const report = await verifyLog(opened)
  const tasks = await opened.read((reader) => listTasks(reader, { limit: 9 }))
  opened.close()
  assert.deepEqual([report.damage, report.unproven?.last, report.unproven?.by], [[], 1, 'person:ada'])
  assert.deepEqual(
    tasks.map(({ id }) => id),
    ['task_a'],
  )
})

test('the database itself is no backup: what is lost since would be asked of the copy that lost it', async () => {
  await using made = await lab()
  await made.add('task_a')
  const refused = await made.restore(made.paths.database)
  assert.equal(isRefusal(refused) && refused.refused, 'no-backup')
})

test('the daemon is ended only for a backup that can be restored', async () => {
  await using made = await lab()
  await made.add('task_a')
  const file = await made.backup()
  let ended = 0
  const endDaemon = async () => {
    ended += 1
    return refuse('stays-up', 'it does not end')
  }
  const whole = await made.restore(file, endDaemon)
  assert.deepEqual([isRefusal(whole) && whole.refused, ended], ['stays-up', 1])
  writeFileSync(file, 'a shopping list '.repeat(500))
  const damaged = await made.restore(file, endDaemon)
  assert.deepEqual([isRefusal(damaged) && damaged.refused, ended], ['backup-damaged', 1])
  assert.deepEqual(await made.tasks(), ['task_a'])
})
