import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { DaemonEvent, TaskEvent } from '../core/event.ts'
import { added, admittedGate, foldTask } from '../core/fixture.ts'
import { mayLand } from '../core/flow.ts'
import { embeddedEngine } from '../engine/embedded.ts'
import { openDatabase } from '../store/database.ts'
import { claimLeases } from '../store/lease.ts'
import { readLog } from '../store/log.ts'
import { append } from '../store/append.ts'
import type { Daemon } from './daemon.ts'
import { landIntended } from './lander.ts'
import type { RepoContext } from './repository.ts'

const approved: TaskEvent[] = [
  added('task_1'),
  {
    type: 'candidate.taken',
    attempt: 'att_0',
    commit: 'c1',
    tree: 't1',
    base: 'b',
    family: 'openai',
    model: 'openai-1',
    files: [],
    added: 1,
    removed: 0,
    message: '',
  },
  { type: 'task.approved', commit: 'c1', by: 'person:ada' },
  admittedGate('att_1', 'land'),
]
const landing = { commit: 'landed', tree: 'tree', parent: null }
const context = { repo: { target: 'main', stores: {} } } as unknown as RepoContext

/** A task whose landing is under way, and a git that only counts what it would have moved. */
async function nearlyLanded(...meanwhile: (TaskEvent | DaemonEvent)[]) {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  const engine = embeddedEngine({ world, database, epoch: 1, leaseMs: 1000, onFault: () => {} })
  const moved: string[] = []
  const git = { land: async (_: unknown, target: string) => void moved.push(target) }
  const daemon = { world, database, engine, git } as unknown as Daemon
  const lease = await database.write(async (tx) => {
    await append(tx, { at: 0, actor: 'daemon', stream: 'task/task_1', events: approved })
    for (const event of meanwhile) {
      const stream = event.type === 'work.paused' ? 'daemon/main' : 'task/task_1'
      await append(tx, { at: 0, actor: 'person:ada', stream, events: [event] })
    }
    await engine.offer(tx, { attempt: 'att_1', task: 'task_1', token: 1 })
    return (await claimLeases(tx, { epoch: 1, monoMs: 0, leaseMs: 1000 }))[0]
  })
  const carried = { ...lease!, signal: new AbortController().signal, beat: async () => true }
  const result = await landIntended(daemon, carried, context, landing)
  const log = await database.read((reader) => readLog(reader, { limit: 100 }))
  database.close()
  return { result: result?.outcome ?? null, moved, last: log.at(-1)!.event.type }
}

test('what is approved lands: the intent is written, then the target moves', async () => {
  assert.deepEqual(await nearlyLanded(), { result: 'passed', moved: ['main'], last: 'landing.intended' })
})

test('a task that was cancelled while its landing was tested moves nothing', async () => {
  assert.deepEqual(await nearlyLanded({ type: 'task.cancelled', why: 'no' }), {
    result: null,
    moved: [],
    last: 'task.cancelled',
  })
})

const paused = (now: boolean): DaemonEvent => ({ type: 'work.paused', what: 'all', name: 'all', why: 'no', now })

test('what a person killed while its landing was tested moves nothing, and is ready again; what is held or paused else is let finish', async () => {
  const dead = { result: 'killed', moved: [] }
  assert.deepEqual(await nearlyLanded({ type: 'task.held', why: 'no', now: true }), { ...dead, last: 'task.held' })
  assert.deepEqual(await nearlyLanded(paused(true)), { ...dead, last: 'work.paused' })
  const landed = { result: 'passed', moved: ['main'], last: 'landing.intended' }
  assert.deepEqual(await nearlyLanded({ type: 'task.held', why: 'wait' }), landed)
  assert.deepEqual(await nearlyLanded(paused(false)), landed)
})

test('only an attempt to land that is under way may land, and only the commit that was approved', () => {
  const task = foldTask(approved)
  const land = (more: object, attempt = 'att_1') => mayLand({ ...task, ...more }, attempt)
  assert.deepEqual(
    [
      land({}),
      land({}, 'att_2'),
      land({ running: [{ ...task.running[0]!, step: 'verify' }] }),
      land({ approval: null }),
      land({ approval: { commit: 'c0', by: 'person:ada' } }),
      land({ phase: 'escalated' }),
    ],
    [true, false, false, false, false, false],
  )
})
