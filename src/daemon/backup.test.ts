/** Laws of the daemon's backups: the first when the database is as old as one may be, then as often as the settings say, and never more than are kept. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { added } from '../core/fixture.ts'
import { realWorld, type World } from '../host/world.ts'
import { backupFolder, listBackups } from '../store/backup.ts'
import { openDatabase } from '../store/database.ts'
import { append } from '../store/append.ts'
import { backupLook } from './backup.ts'

const hour = 3_600_000
const began = 1_800_000_000_000

test('a backup is taken when one is due, an older one then removed, and nothing is taken of an empty log', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-backup-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  try {
    let now = began
    const real = realWorld()
    const world: World = { ...real, clock: { ...real.clock, now: () => now } }
    const retention = { backups: 2 }
    const look = backupLook({
      world,
      database,
      settings: { backup: { everyMs: 24 * hour }, retention },
      note: () => {},
    })
    const hoursAfter = () => listBackups(database.path).map(({ at }) => (at - began) / hour)
    await look()
    assert.deepEqual(hoursAfter(), [])
    const event = added('task_a')
    await database.write((tx) => append(tx, { at: began, actor: 'person:ada', stream: 'task/task_a', events: [event] }))
    const seen: number[][] = []
    for (const hours of [0, 23, 24, 47, 48, 60, 72, 200]) {
      now = began + hours * hour
      await look()
      seen.push(hoursAfter())
    }
    assert.deepEqual(seen, [[], [], [24], [24], [48, 24], [48, 24], [72, 48], [200, 72]])
    assert.equal(readdirSync(backupFolder(database.path)).length, 4, 'two backups with their anchors')
  } finally {
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
})

test('a key that was removed while a daemon has it is put back and said once, and what lies in its place is left there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-backup-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  try {
    const file = `${database.path}.key`
    const drawn = readFileSync(file, 'utf8')
    const said: string[] = []
    const settings = { backup: { everyMs: hour }, retention: { backups: 2 } }
    const look = backupLook({ world: realWorld(), database, settings, note: (text) => void said.push(text) })
    await look()
    rmSync(file)
    await look()
    await look()
    assert.deepEqual([readFileSync(file, 'utf8'), statSync(file).mode & 0o777, said.length], [drawn, 0o600, 1])
    writeFileSync(file, 'mine')
    await look()
    assert.deepEqual([readFileSync(file, 'utf8'), said.length], ['mine', 1])
  } finally {
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
})
