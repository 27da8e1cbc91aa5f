/** A command counts once, whoever gets to it: the daemon, whoever did not want to wait for it, or both, in any order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { virtualWorld } from '../../sim/world.ts'
import { isRefusal } from '../core/refusal.ts'
import { openDatabase, type Database } from '../store/database.ts'
import { lastSeq, readLog } from '../store/log.ts'
import { listTasks } from '../store/task.ts'
import { carryOut, doors, fits, type Args, type Door } from './door.ts'
import { registerRepository } from './register.ts'
import { answerRequest, onlyOnce, readReply, versionOf, writeRequest } from './request.ts'

async function shop() {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  const ports = { database, world, actor: 'person:ada' }
  const repo = await registerRepository(ports, { path: '/shop', name: 'shop', base: 'main' })
  if (isRefusal(repo)) throw new Error(repo.why)
  const version = versionOf('1.2.3', database)
  const daemon = { database, world, version }
  let sent = 0
  const request = <Name extends Door>(name: Name, args: Args<Name>, more: object = {}) => {
    const id = `cmd_${(sent += 1)}`
    const whole = { id, version, by: 'person:ada', until: world.clock.now() + 100, name, args, ...more }
    return {
      id,
      line: writeRequest(whole),
      /** As the daemon answers it. */
      byDaemon: async () => readReply<Name>(await answerRequest(daemon, writeRequest(whole)))?.done ?? null,
      /** As whoever did not wait does it. */
      byHand: () => carryOut(onlyOnce(ports, id), name, args),
    }
  }
  const tasks = () => database.read((reader) => listTasks(reader, { limit: 1000 }))
  return { world, database, ports, repo, daemon, version, request, tasks, seq: () => database.read(lastSeq) }
}

test('a command that the daemon and whoever asked both carry out happens once, and both are told the same, refused or not', async () => {
  const names = fc.constantFrom<Door[]>('add', 'hold', 'release', 'prioritize', 'pause', 'resume', 'cancel', 'retry')
  const how = fc.constantFrom('daemon first', 'by hand first', 'both at once', 'daemon twice')
  let refusals = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ name: names, how }), { maxLength: 25 }), async (steps) => {
      const at = await shop()
      const twin = await shop()
      for (const { name, how: order } of steps) {
        const argsFor = async ({ repo, tasks }: typeof at): Promise<unknown[]> => {
          const id = (await tasks())[0]?.id ?? 'task_nobody'
          return {
            add: [{ repo: repo.id, title: 'Sell tea' }],
            hold: [id, 'wait', false],
            release: [id],
            prioritize: [id, { lane: 'critical' }],
            pause: [{ what: 'lane', name: 'normal', why: '', now: false }],
            resume: [{ what: 'lane', name: 'normal' }],
            cancel: [id, 'no'],
            retry: [id],
          }[name as string]!
        }
        const { byDaemon, byHand } = at.request(name, (await argsFor(at)) as never)
        const answers =
          order === 'daemon first'
            ? [await byDaemon(), await byHand()]
            : order === 'by hand first'
              ? [await byHand(), await byDaemon()]
              : order === 'daemon twice'
                ? [await byDaemon(), await byDaemon()]
                : await Promise.all([byDaemon(), byHand()])
        assert.deepEqual(answers[1], answers[0])
        if (isRefusal(answers[0])) refusals += 1
        await carryOut(twin.ports, name, (await argsFor(twin)) as never)
      }
      const log = async ({ database }: typeof at) =>
        (await database.read((reader) => readLog(reader, { limit: 1000 }))).map(({ event }) => event.type)
      assert.deepEqual(await log(at), await log(twin), 'as if each had been carried out once, by nobody else')
      at.database.close()
      twin.database.close()
    }),
    { seed: 2026, numRuns: 60 },
  )
  assert.ok(refusals > 50, `${refusals} were refused`)
})

test('a "no" is final, too: what has changed meanwhile does not turn it into a yes', async () => {
  const at = await shop()
  const { byDaemon, byHand } = at.request('resume', [{ what: 'all', name: 'all' }])
  const refused = await byHand()
  assert.ok(isRefusal(refused))
  await carryOut(at.ports, 'pause', [{ what: 'all', name: 'all', why: '', now: false }])
  const before = await at.seq()
  assert.deepEqual(await byDaemon(), refused)
  assert.equal(await at.seq(), before)
})

test('what is late, of another version or unreadable is not carried out, and writes nothing', async () => {
  const at = await shop()
  const before = await at.seq()
  const reply = async (line: string) => JSON.parse(await answerRequest(at.daemon, line)) as unknown
  const add = (more: object) => at.request('add', [{ repo: at.repo.id, title: 'Sell tea' }], more).line
  assert.deepEqual(await reply(add({ until: at.world.clock.now() - 1 })), { not: 'late' })
  for (const version of ['1.2.4, schema 3', '', '1.2.3'])
    assert.deepEqual(await reply(add({ version })), { not: 'version' })
  const bad = [
    '',
    'ok',
    'null',
    '[]',
    '{}',
    add({}).slice(0, -1),
    add({ id: 'task_1' }),
    add({ id: "cmd_1'; drop table event; --" }),
    add({ by: 'daemon' }),
    add({ by: 'person:ada\nperson:eve' }),
    add({ until: 'for ever' }),
    add({ name: 'constructor' }),
    add({ name: 'drop' }),
    add({ args: [] }),
    add({ args: [{ repo: at.repo.id }] }),
    add({ args: [{ repo: at.repo.id, title: 7 }] }),
    add({ args: [{ repo: at.repo.id, title: 'x', actor: 'daemon' }] }),
    add({ args: { length: 1, 0: {} } }),
    add({ name: 'prioritize', args: ['task_1', { lane: 1 }] }),
    add({ name: 'pause', args: [{ what: 'world', name: 'all', why: '', now: false }] }),
  ]
  for (const line of bad) assert.deepEqual(await reply(line), { not: 'unreadable' }, line)
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (line) => {
      assert.deepEqual(await reply(line), { not: 'unreadable' })
    }),
  )
  assert.equal(await at.seq(), before)
  assert.notEqual(readReply(await answerRequest(at.daemon, add({}))), null, 'the same one, whole and in time, is')
})

test('every command is taken with the arguments the command line gives it', () => {
  const given: { [Name in Door]: Args<Name> } = {
    add: [
      {
        repo: 'repo_1',
        title: 'x',
        text: 'y',
        kind: 'fix',
        lane: 'normal',
        size: 'small',
        tags: ['a'],
        after: [],
        acceptance: ['b'],
        budgetNanoUsd: 5,
        ref: null,
        path: null,
      },
    ],
    approve: ['task_1', null],
    reject: ['task_1', 'no'],
    retry: ['task_1'],
    cancel: ['task_1', 'no'],
    prioritize: ['task_1', { lane: 'normal', override: true }],
    hold: ['task_1', 'no', true],
    release: ['task_1'],
    pause: [{ what: 'all', name: 'all', why: '', now: false }],
    raiseTask: ['task_1', 5, 10],
    raiseDay: [5, 10],
    raisePart: [{ of: 'repo', name: 'repo_1' }, 5, 10],
    resumeTask: ['task_1'],
    closeBreaker: [],
    resume: [{ what: 'all', name: 'all' }],
  }
  assert.deepEqual(Object.keys(given), Object.keys(doors))
  for (const [name, args] of Object.entries(given))
    assert.ok(fits(name as Door, JSON.parse(JSON.stringify(args))), name)
})

test('answers are kept for an hour, and a clock that jumps keeps none for ever', async () => {
  const at = await shop()
  const kept = async () =>
    (await at.database.read((reader) => reader.all<{ id: string }>('select id from command order by id'))).map(
      ({ id }) => id,
    )
  const add = () => at.request('add', [{ repo: at.repo.id, title: 'Sell tea' }]).byDaemon()
  await add()
  await at.world.advance(59 * 60_000)
  await add()
  assert.deepEqual(await kept(), ['cmd_1', 'cmd_2'])
  await at.world.advance(2 * 60_000)
  await add()
  assert.deepEqual(await kept(), ['cmd_2', 'cmd_3'])
  await at.database.write((tx) => tx.run("update command set at = at + 1000000000000 where id = 'cmd_3'"))
  await add()
  assert.deepEqual(await kept(), ['cmd_2', 'cmd_4'])
})

test('whoever a command wakes is woken inside its transaction, once, and finds what it wrote, and nothing of what was undone after all', async () => {
  const at = await shop()
  let inside = false
  const found: [inside: boolean, tasks: Promise<number>][] = []
  const database: Database = {
    ...at.database,
    write: (body) =>
      at.database.write(async (tx) => {
        inside = true
        return body(tx).finally(() => (inside = false))
      }),
  }
  const wake = () =>
    void found.push([inside, at.database.write(async (tx) => (await listTasks(tx, { limit: 10 })).length)])
  const { line } = at.request('add', [{ repo: at.repo.id, title: 'Sell tea' }])
  const answered = () => answerRequest({ ...at.daemon, database, wake }, line)
  await answered()
  await answered()
  const broken: Database = {
    ...database,
    write: (body) => database.write(async (tx) => body(tx).then(() => Promise.reject(new Error('no')))),
  }
  const other = at.request('add', [{ repo: at.repo.id, title: 'Sell coffee' }])
  await assert.rejects(answerRequest({ ...at.daemon, database: broken, wake }, other.line))
  assert.deepEqual(await Promise.all(found.map(async ([isInside, tasks]) => [isInside, await tasks])), [
    [true, 1],
    [true, 1],
  ])
})
