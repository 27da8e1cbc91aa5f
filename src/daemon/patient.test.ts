/** Laws of the database that waits: what cannot be written now is written later, once; what will not pass is not waited for; and it is said. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { added } from '../core/fixture.ts'
import { Fault, isFault } from '../host/fault.ts'
import { realWorld, type World } from '../host/world.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { offerLease, type Lease } from '../store/lease.ts'
import { readLog } from '../store/log.ts'
import { append } from '../store/append.ts'
import { readTrouble } from '../store/told.ts'
import { troubleOf } from '../store/trouble.ts'
import { patientDatabase, type Patient } from './patient.ts'

const full = () => new Fault('disk-full', 'database or disk is full', { hint: 'make room' })

type Lab = {
  patient: Patient
  database: Database
  /** What every write meets from here on; null: it is done. */
  meets(error: unknown): void
  notes: string[]
  /** Lets so much time pass. */
  pass(ms: number): Promise<void>
}

async function lab(t: TestContext): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-patient-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  let met: unknown = null
  const broken: Database = {
    ...database,
    write: (body) => (met === null ? database.write(body) : Promise.reject(met)),
  }
  let now = 1_000_000
  let timers: { at: number; fn: () => void }[] = []
  const real = realWorld()
  const world: World = {
    ...real,
    clock: { now: () => now, mono: () => now },
    timer: {
      ...real.timer,
      after(ms, fn) {
        const timer = { at: now + ms, fn }
        timers.push(timer)
        return () => void (timers = timers.filter((each) => each !== timer))
      },
    },
  }
  const notes: string[] = []
  const patient = patientDatabase({
    world,
    database: broken,
    epoch: 1,
    leaseMs: 90_000,
    secrets: () => ['hunter2-0123456789'],
    note: (text) => notes.push(text),
  })
  t.after(async () => {
    patient[Symbol.dispose]()
    database.close()
    await rm(folder, { recursive: true, force: true })
  })
  return {
    patient,
    database,
    notes,
    meets: (error) => void (met = error),
    async pass(ms) {
      now += ms
      const due = timers.filter(({ at }) => at <= now)
      timers = timers.filter(({ at }) => at > now)
      for (const { fn } of due) fn()
      await real.timer.sleep(0)
    },
  }
}

const add = ({ patient }: Lab, task: string) =>
  patient.database.write((tx) =>
    append(tx, { at: 1, actor: 'person:ada', stream: `task/${task}`, events: [added(task)] }),
  )
const types = async ({ database }: Lab) =>
  (await database.read((reader) => readLog(reader, { limit: 100 }))).map(({ event }) => event.type)

test('what meets a full disk waits and is written once when there is room, and the log says how long that took', async (t) => {
  const made = await lab(t)
  const { patient, database, notes } = made
  const lease: Lease = { attempt: 'att_1', task: 'task_a', token: 1, epoch: 1 }
  await database.write((tx) => offerLease(tx, lease, 1_000_000, 90_000))
  made.meets(full())
  const answers = ['task_a', 'task_b'].map((task) => add(made, task))
  await made.pass(0)
  const said = { code: 'disk-full', why: 'database or disk is full', hint: 'make room', since: 1_000_000 }
  assert.deepEqual([patient.trouble(), readTrouble(database.path)], [said, said])
  for (let second = 0; second < 200; second += 1) await made.pass(1000)
  assert.deepEqual([await types(made), notes.length], [[], 1], 'said once')
  made.meets(null)
  await made.pass(1000)
  await Promise.all(answers)
  assert.deepEqual([patient.trouble(), readTrouble(database.path)], [null, null])
  assert.deepEqual(await types(made), ['store.failed', 'store.recovered', 'task.added', 'task.added'])
  const [failed, recovered] = await database.read((reader) => readLog(reader, { limit: 2 }))
  assert.deepEqual([failed?.at, recovered?.at], [1_000_000, 1_201_000])
  const row = await database.read((reader) => reader.get<{ at: number }>('select expires_at as at from lease'))
  assert.equal(row?.at, 1_201_000 + 90_000, 'no beat could be written, so none was missed')
})

test('what will not pass by itself is not waited for, and a mistake of ours is none of the disk', async (t) => {
  const made = await lab(t)
  made.meets(new Fault('database-damaged', 'database disk image is malformed'))
  await assert.rejects(add(made, 'task_a'), (error) => isFault(error, 'database-damaged'))
  made.meets(null)
  await assert.rejects(
    made.patient.database.write((tx) => tx.run('insert into nowhere values (1)')),
    /no such table/,
  )
  assert.deepEqual([made.patient.trouble(), made.notes], [null, []])
})

test('a daemon that ends waits no longer: what was waiting fails, which is no mistake of a loop, and what comes fails at once', async (t) => {
  const made = await lab(t)
  made.meets(full())
  const waiting = add(made, 'task_a')
  await made.pass(0)
  made.patient[Symbol.dispose]()
  const ended = await waiting.catch((error: unknown) => error)
  assert.ok(isFault(ended, 'daemon-ends'))
  await assert.rejects(add(made, 'task_b'), (error) => isFault(error, 'disk-full'))
  made.meets(null) // there is room again, and nobody has looked yet
  await made.patient.failed('dispatcher', ended)
  assert.deepEqual(await types(made), [])
})

test('a loop that failed is written down, or said where that cannot be; saying never fails', async (t) => {
  const made = await lab(t)
  await made.patient.failed('reaper', new Error('no'))
  assert.deepEqual(await types(made), ['loop.failed'])
  made.meets(full())
  await made.patient.failed('reaper', new Error('again'))
  assert.match(made.notes[0] ?? '', /the reaper loop failed and it cannot be written down: Error: again/)
  assert.equal(made.patient.trouble()?.code, 'disk-full')
  await made.patient.failed('reaper', full())
  assert.equal(made.notes.length, 2)
})

test('what SQLite says is told apart: full, failing, read-only, damaged, and what is none of these', () => {
  const said = (errcode: number) => Object.assign(new Error('x'), { code: 'ERR_SQLITE_ERROR', errcode })
  const codes = [13, 10, 778, 1034, 4874, 8, 1032, 11, 26, 14, 1, 19, 5].map(
    (code) => troubleOf(said(code))?.code ?? null,
  )
  assert.deepEqual(codes, [
    'disk-full',
    'disk-failing',
    'disk-failing',
    'disk-failing',
    'disk-full',
    'database-read-only',
    'database-read-only',
    'database-damaged',
    'database-damaged',
    'database-unopened',
    null,
    null,
    null,
  ])
  assert.equal(troubleOf(new Error('x')), null)
})

test('what a loop failed at is written down, and said, without the keys there are', async (t) => {
  const { patient, database, meets, notes } = await lab(t)
  const failure = new Error('Invalid URL: https://me:hunter2-0123456789@provider.test')
  await patient.failed('worker', failure)
  meets(new Fault('database-damaged', 'it is damaged'))
  await patient.failed('worker', failure)
  const log = JSON.stringify(await database.read((reader) => readLog(reader, { limit: 9 })))
  for (const text of [log, notes.join('\n')]) {
    assert.match(text, /Invalid URL: https:\/\/me:\[redacted\]@provider\.test/)
    assert.doesNotMatch(text, /hunter2/)
  }
})
