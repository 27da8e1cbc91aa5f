/** Ends that a person asks for: kill of a task, a family or everything, and the clean stop of the daemon. What is left, and what goes on afterwards. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { reaper } from '../../src/daemon/reaper.ts'
import { isAlive } from '../../src/host/proc.ts'
import { recordedProcesses } from '../../src/store/lease.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, rig, survivorsOfAttempts, testGate, writing, type Rig } from './rig.ts'

type Killed = {
  killed: { step: string; outcome: string; killed: { method: string; survivors: number } }[]
  survivors: number
  undo: string
}

/** What `kill … --json` answered; it must have said that all is proven empty. */
async function killed(shop: Rig, ...what: string[]): Promise<Killed> {
  const { code, stdout, stderr } = await shop.type('kill', ...what, '--json')
  assert.equal(code, 0, stderr + stdout)
  return JSON.parse(stdout) as Killed
}

const process = (shop: Rig, step: string) =>
  shop.until(`a process in ${step}`, async (reader) => {
    const rows = await recordedProcesses(reader)
    const row = await reader.get<{ id: string }>(
      `select attempt.id from process join attempt on attempt.id = process.attempt where step = :step`,
      { step },
    )
    return rows.find(({ attempt }) => attempt === row?.id)
  })

test('kill of a task: its key is dead before its process, nothing of it survives, it is held, and release lets it land', async () => {
  const evil = implementing('Sell coffee', { misbehave: 'double-fork' }, { misbehave: 'ignore-term' })
  const answered = Promise.withResolvers<void>()
  let requests = 0
  await using shop = await rig({
    rules: [{ ...evil, times: 1 }, writing('Sell coffee'), approving],
    onRequest: () => (requests += 1) === 2 && answered.resolve(),
  })
  const { daemon } = await shop.up()
  const id = await shop.add('Sell coffee')
  const row = await process(shop, 'implement')
  await answered.promise
  const { revoke } = daemon.gateway
  const aliveAtRevoke: boolean[] = []
  daemon.gateway.revoke = (attempt) => {
    aliveAtRevoke.push(isAlive({ bootId: row.boot_id, pid: row.pid, startTime: row.start_time }))
    return revoke(attempt)
  }
  const said = await killed(shop, id, '--why', 'it goes astray')
  const { rung } = daemon.stagePorts.sandbox
  assert.deepEqual(
    said.killed.map(({ step, outcome, killed: { method, survivors } }) => [step, outcome, method, survivors]),
    [['implement', 'killed', rung, 0]],
  )
  assert.deepEqual([said.survivors, said.undo], [0, `tri-agent release ${id}`])
  assert.deepEqual(aliveAtRevoke, [true, false], 'first the key, then the program')
  assert.deepEqual(survivorsOfAttempts(shop), [])
  const { held, running, phase } = await shop.task(id)
  assert.deepEqual([held, running, phase], ['it goes astray', [], 'open'])
  assert.match((await shop.type('kill', id)).stdout, /^Nothing of it was under way\.\nHeld: /)
  assert.equal((await shop.type('release', id)).code, 0)
  await shop.state(id, 'done')
  await endsWell(shop)
})

test('kill of a family and of everything ends gates too, reports how, and what is paused goes on when it is resumed', async () => {
  const asked = Promise.withResolvers<void>()
  await using shop = await rig({
    onRequest: () => asked.resolve(),
    rules: [{ ...implementing('Sell coffee', { misbehave: 'hang' }), times: 1 }, writing('Sell coffee'), approving],
    yaml: { gates: [{ ...testGate, command: 'test -e /tmp/never || exec sleep 300' }] },
  })
  await shop.up()
  const id = await shop.add('Sell coffee', { tags: ['family:openai'] })
  await process(shop, 'implement')
  await asked.promise // or the next one would be told to hang
  const family = await killed(shop, 'family', 'openai')
  assert.deepEqual(
    family.killed.map(({ step, outcome, killed: { survivors } }) => [step, outcome, survivors]),
    [['implement', 'killed', 0]],
  )
  assert.match((await shop.type('kill', 'family', 'opnai')).stderr, /did you mean "?openai/)
  assert.equal((await shop.type(...family.undo.split(' ').slice(1))).code, 0)
  await process(shop, 'verify')
  const { stdout } = await shop.type('kill', 'all')
  assert.match(
    stdout,
    new RegExp(
      `^${id} verify: killed; \\w+, proven empty, \\d+ ms\nEverything is paused; to go on: tri-agent resume$`,
      'm',
    ),
  )
  assert.deepEqual([(await shop.task(id)).running, survivorsOfAttempts(shop)], [[], []])
  assert.equal((await shop.type('resume')).code, 0)
  await process(shop, 'verify')
  await endsWell(shop)
})

test('what survives the end of an attempt stays written down, is told at once, and is looked for until it is gone', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), approving] })
  const { daemon } = await shop.up()
  const { sandbox } = daemon.stagePorts
  let starts = 0
  daemon.stagePorts.sandbox = {
    ...sandbox,
    async start(box, born) {
      const contained = await sandbox.start(box, born)
      const isGate = (starts += 1) > 2
      const kill = async () => ({ ...(await contained.kill()), survivors: isGate ? 2 : 0 })
      return { ...contained, kill }
    },
  }
  const id = await shop.add('Sell coffee', {})
  const gates = await shop.happened(id, 'gates.finished')
  assert.match((await shop.type('log')).stdout, /2 of the processes of att_\w+ survived its end/)
  assert.match((await shop.type('status')).stdout, new RegExp(`^Survived  processes of .*${gates.attempt}`, 'm'))
  await shop.state(id, 'done')
  await reaper(daemon, shop.env)()
  assert.doesNotMatch((await shop.type('status')).stdout, /Survived/)
  daemon.stagePorts.sandbox = sandbox
  await endsWell(shop, 'kill')
})

/** Has it looked again after each line of a transcript, too. */
function watching(shop: Rig): Disposable {
  const watcher = watch(shop.paths.transcripts, () => shop.look())
  return { [Symbol.dispose]: () => watcher.close() }
}

test('what has not ended within its grace is parked with its work, and the next daemon goes on with it; told twice, nobody waits for that', async () => {
  const stopped = 'You were stopped before you were done'
  const begun = implementing(
    'Sell coffee',
    { write: { path: 'coffee.txt', content: 'coffee\n' } },
    { misbehave: 'hang' },
  )
  const goingOn = { when: ['# Implement', stopped], steps: [{ say: 'It was all there.' }] }
  await using shop = await rig({
    config: { drain: { normal: '0s' } },
    rules: [{ ...begun, not: [stopped] }, goingOn, approving],
  })
  using _watcher = watching(shop)
  const id = await shop.add('Sell coffee')
  for (const n of [0, 1]) {
    const running = await shop.up()
    const { attempt } = await process(shop, 'implement')
    const file = join(shop.paths.transcripts, `${attempt}.jsonl`)
    const hangs = () => existsSync(file) && /tool_start.*misbehave/.test(readFileSync(file, 'utf8'))
    await shop.until('the agent to hang, having written', () => Promise.resolve(hangs()))
    const hurry = new AbortController()
    if (n === 0) hurry.abort()
    await running.drain(hurry.signal)
    await shop.down()
    const { phase, archive, running: left } = await shop.task(id)
    assert.deepEqual([phase, archive?.files, left], n === 0 ? ['open', undefined, []] : ['parked', 1, []])
  }
  const { scope, why, until } = await shop.happened(id, 'task.parked')
  assert.deepEqual([scope, why, until], ['daemon', 'the daemon was told to end', null])
  assert.match(await shop.show(id), /parked[^]*the next daemon goes on with it[^]*tri-agent up/)
  await shop.up()
  const done = await shop.state(id, 'done', 'escalated')
  assert.equal(done.phase, 'done', done.why ?? '')
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'coffee')
  await endsWell(shop)
})

for (const [when, before] of [
  ['has just begun', true],
  ['is done', false],
] as const)
  test(`told to end when the bundling of finished work ${when}, the daemon takes it in: nobody is paid for it again`, async () => {
    await using shop = await rig({
      config: { drain: { normal: '0s' } },
      rules: [writing('Sell coffee'), approving],
    })
    const running = await shop.up()
    const ports = running.daemon.stagePorts
    const { sandbox } = ports
    const drained = Promise.withResolvers<void>()
    ports.sandbox = {
      ...sandbox,
      async start(box, born) {
        const isHandOff = box.argv.some((word) => word.includes('git bundle create'))
        const contained = await sandbox.start(box, born)
        if (!isHandOff) return contained
        if (!before) await contained.exit
        running.drain(new AbortController().signal).then(drained.resolve, drained.reject)
        for (const { parking, engine } = running.daemon; !engine.carrying().every((each) => parking.drained.has(each));)
          await new Promise(setImmediate)
        return contained
      },
    }
    const id = await shop.add('Sell coffee')
    await drained.promise
    await shop.down()
    const { step, phase, running: left, failures } = await shop.task(id)
    assert.deepEqual([step, phase, left, failures], ['verify', 'open', [], []])
    await shop.up()
    await shop.state(id, 'done')
    const ended = (await shop.events(id)).flatMap((event) => (event.type === 'attempt.admitted' ? [event.step] : []))
    assert.equal(ended.filter((each) => each === 'implement').length, 1)
    await endsWell(shop)
  })

test('told to end, the daemon starts nothing new and lets what is under way come to its end; told again it does not wait', async () => {
  await using shop = await rig({
    config: { drain: { normal: '10m' } },
    rules: [{ ...writing('Sell coffee') }, { ...implementing('Hang on', { misbehave: 'hang' }), times: 1 }, approving],
  })
  const first = await shop.up()
  const id = await shop.add('Sell coffee')
  await process(shop, 'implement')
  await first.drain(new AbortController().signal)
  await shop.down()
  const drained = await shop.task(id)
  assert.deepEqual(
    [drained.step, drained.running, drained.phase],
    ['verify', [], 'open'],
    'one step on, and no further',
  )
  assert.deepEqual(
    (await shop.events(id)).flatMap((event) => (event.type === 'attempt.ended' ? [event.outcome] : [])),
    ['passed'],
  )
  const second = await shop.up()
  await shop.state(id, 'done')
  const other = await shop.add('Hang on')
  await process(shop, 'implement')
  const hurry = new AbortController()
  const draining = second.drain(hurry.signal)
  hurry.abort()
  await draining
  await shop.down()
  const { running, phase, step } = await shop.task(other)
  assert.deepEqual([running, phase, step], [[], 'open', 'implement'], 'ready again where it was')
  await endsWell(shop)
})
