/**
 * bench backup: an online backup of 1,000,000 queued tasks while somebody writes, against `cp` and `sync` of the same file in the same sitting: a
 * backup cannot be faster than the disk is, unless the file system clones blocks.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { added } from '../src/core/fixture.ts'
import { capture } from '../src/host/process.ts'
import { takeBackup } from '../src/store/backup.ts'
import { openDatabase, type Database } from '../src/store/database.ts'
import { append } from '../src/store/append.ts'
import { world } from '../test/cli-rig.ts'
import { median, type Bench } from './measure.ts'

const tasks = 1_000_000
const rounds = 3
/** numbers.md. */
const mostSeconds = 3

export const benchBackup: Bench = async (note) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-backup-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  try {
    note(`${tasks} tasks are queued: a few minutes`)
    await fill(database)
    const backups: number[] = []
    const copies: number[] = []
    const latest: number[] = []
    for (let round = 1; round <= rounds; round++) {
      note(`round ${round} of ${rounds}: cp and sync, then a backup while one caller writes`)
      copies.push(await secondsOf(() => copy(database.path, folder)))
      const writing = startWriting(database, round)
      backups.push(await secondsOf(() => takeAway(database)))
      latest.push(await writing.end())
    }
    const { size } = await stat(database.path)
    return [
      {
        what: `online backup of ${tasks} tasks, ${Math.round(size / 1e6)} MB`,
        unit: 's',
        measured: median(backups),
        baseline: median(copies),
        target: mostSeconds,
      },
      { what: 'longest write meanwhile', unit: 'ms', measured: median(latest), baseline: null, target: null },
    ]
  } finally {
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
}

const add = (database: Database, task: string) =>
  database.write((tx) =>
    append(tx, {
      at: world.clock.now(),
      actor: 'person:bench',
      stream: `task/${task}`,
      events: [{ ...added(task), text: 'x'.repeat(400) }],
    }),
  )

async function fill(database: Database): Promise<void> {
  let left = tasks
  const caller = async () => {
    while (left > 0) await add(database, `task_${(left--).toString(36).padStart(8, '0')}`)
  }
  await Promise.all(Array.from({ length: 64 }, caller))
}

async function secondsOf(body: () => Promise<unknown>): Promise<number> {
  const began = world.clock.mono()
  await body()
  return (world.clock.mono() - began) / 1000
}

async function copy(file: string, folder: string): Promise<void> {
  const to = join(folder, 'copy.db')
  const line = `cp --reflink=auto -- '${file}' '${to}' && sync '${to}'`
  const ended = await capture(world.spawn, { file: 'sh', args: ['-c', line], cwd: '/', env: { PATH: '/usr/bin:/bin' } })
  if (ended.code !== 0) throw new Error(ended.stderr)
  await rm(to)
}

async function takeAway(database: Database): Promise<void> {
  const { file } = await takeBackup({ world, database: database.path, kind: 'backup' })
  await rm(file)
}

/** One caller that writes all the time; its longest wait in milliseconds. */
function startWriting(database: Database, round: number): { end(): Promise<number> } {
  let writing = true
  let longest = 0
  const going = (async () => {
    for (let n = 0; writing; n += 1) {
      const began = world.clock.mono()
      await add(database, `task_r${round}n${n}`)
      longest = Math.max(longest, world.clock.mono() - began)
      await turn()
    }
  })()
  return {
    async end() {
      writing = false
      await going
      return longest
    },
  }
}
