/** Laws of the rescuer: what it cannot give back keeps nothing else from being given back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { TaskEvent } from '../core/event.ts'
import { added } from '../core/fixture.ts'
import { openDatabase } from '../store/database.ts'
import { offerLease, recordProcess, takeEpoch } from '../store/lease.ts'
import { append } from '../store/append.ts'
import { loadTask } from '../store/task.ts'
import type { Daemon } from './daemon.ts'
import { buryRest, rescuer } from './rescuer.ts'
import { openSalvaging } from './salvage.ts'

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
    trouble: () => null,
    paths: { areas: '/nowhere' },
    salvaging: openSalvaging(),
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

test('a task over which every daemon dies before it can give it back is set aside unseen, after five; one that lands is looked at for ever', async (t) => {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  t.after(() => database.close())
  const begin = (task: string, attempt: string, ...more: TaskEvent[]) =>
    database.write(async (tx) => {
      const admitted = {
        type: 'attempt.admitted',
        attempt,
        token: 1,
        step: 'land',
        role: 'gate',
        family: null,
      } as const
      const rest = { agent: null, model: null, finding: null, because: null }
      const events: TaskEvent[] = [added(task), { ...admitted, ...rest }, ...more]
      await append(tx, { at: 0, actor: 'daemon', stream: `task/${task}`, events })
      await offerLease(tx, { attempt, task, token: 1, epoch: 1 }, 0, 1000)
    })
  await begin('task_1', 'att_1')
  const intent = { commit: 'c', tree: 't', parent: null, target: 'main' }
  await begin('task_2', 'att_2', { type: 'landing.intended', attempt: 'att_2', ...intent })
  const looked: string[] = []
  const daemonOf = (epoch: number) => ({
    world,
    database,
    epoch,
    absence: { look: async () => {} },
    trouble: () => null,
    paths: { areas: '/nowhere' },
    salvaging: openSalvaging(),
    engine: { revoke: () => {}, carrying: () => [] },
    gateway: { revoke: async () => {} },
    repository: async () => {
      looked.push(`epoch ${epoch}`)
      throw new Error('as if the process had ended')
    },
    wake: () => {},
  })
  const task = async (id: string) => (await database.read((reader) => loadTask(reader, id)))!
  for (let epoch = 2; epoch <= 5; epoch++) await assert.rejects(rescuer(daemonOf(epoch) as unknown as Daemon)())
  assert.deepEqual([(await task('task_1')).phase, looked], ['open', ['epoch 2', 'epoch 3', 'epoch 4', 'epoch 5']])
  await assert.rejects(rescuer(daemonOf(6) as unknown as Daemon)())
  const aside = await task('task_1')
  assert.deepEqual(
    [aside.phase, aside.why, aside.running],
    ['escalated', 'the daemon died 5 times before it could give this back', []],
  )
  assert.equal(looked.at(-1), 'epoch 6', 'only for the other one: whether it landed must be known')
  assert.equal((await task('task_2')).running.length, 1)
})

test('a daemon that ends ends what is in its process table, and nothing where another one has the database by now', async (t) => {
  const database = openDatabase(':memory:')
  t.after(() => database.close())
  const take = () => database.write((tx) => takeEpoch(tx, { pid: 1, boot_id: 'b', start_time: 1, started_at: 0 }))
  const epoch = await take()
  await database.write(async (tx) => {
    for (const attempt of ['att_1', 'att_2'])
      await recordProcess(tx, { attempt, pid: 1, boot_id: 'b', start_time: 1, area: '/nowhere', started_at: 0 })
  })
  const ended: string[] = []
  const bury = async ({ attempt }: { attempt: string }) => {
    ended.push(attempt)
    return attempt === 'att_2' // the other one hangs in the kernel
  }
  const daemon = { database, epoch, bury } as unknown as Daemon
  await buryRest(daemon)
  assert.deepEqual(ended.toSorted(), ['att_1', 'att_2'])
  await take()
  await buryRest(daemon)
  assert.equal(ended.length, 2)
})
