/** Laws of the rescuer: what it cannot give back keeps nothing else from being given back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { openDatabase } from '../store/database.ts'
import { offerLease, recordProcess } from '../store/lease.ts'
import type { Daemon } from './daemon.ts'
import { rescuer } from './rescuer.ts'

test('trees that cannot be proven dead, however many, keep no other lease from being given back', async (t) => {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  t.after(() => database.close())
  const attempts = Array.from({ length: 200 }, (_, n) => `att_${String(n).padStart(3, '0')}`)
  const undead = attempts.slice(0, 130)
  await database.write(async (tx) => {
    for (const attempt of attempts) await offerLease(tx, { attempt, task: 'task_1', token: 1, epoch: 1 }, 0, 1000)
    for (const attempt of undead)
      await recordProcess(tx, { attempt, pid: 1, boot_id: 'b', start_time: 1, area: '/nowhere', started_at: 0 })
  })
  const tried = new Map<string, number>()
  const daemon = {
    world,
    database,
    epoch: 2,
    absence: { look: async () => {} },
    engine: { revoke: () => {}, carrying: () => [] },
    gateway: { revoke: async () => {} },
    bury: async ({ attempt }: { attempt: string }) => {
      tried.set(attempt, (tried.get(attempt) ?? 0) + 1)
      return false
    },
    wake: () => {},
  }
  const pass = rescuer(daemon as unknown as Daemon)
  for (let passes = 0; passes < 4; passes++) await pass()
  const left = await database.read((reader) =>
    reader.all<{ attempt: string }>('select attempt from lease order by attempt'),
  )
  assert.deepEqual(
    left.map(({ attempt }) => attempt),
    undead,
  )
  for (let passes = 0; passes < 3; passes++) await pass()
  assert.deepEqual([tried.size, new Set(tried.values())], [undead.length, new Set([2])], 'and each is tried again')
})
