/** The daemon's life as a person sees it: up --detach, a second one, what commands reach it, down. Real processes, no sleeps: each verb answers when it is so. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { nudge } from '../../src/host/nudge.ts'
import { isAlive, bootId, startTimeOf } from '../../src/host/proc.ts'
import { takeEpoch } from '../../src/store/lease.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

/** A provider that nobody can reach: attempts start, and none of them can do anything. */
async function settled(ada: Person): Promise<void> {
  const program = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
  const family = (model: string) =>
    `{ agent: scripted, program: ${program}, baseUrl: "http://127.0.0.1:9", keyFrom: { value: none }, models: ${model} }`
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  await writeFile(
    ada.paths.configFile,
    `rung: group\nhttp: { port: 0 }\ndrain: { normal: 0s }\nfamilies:\n  openai: ${family('gpt-6-sol')}\n  google: ${family('gemini-3.8-flash')}\n`,
    { mode: 0o600 },
  )
  await ada.type(['init'])
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
}

test('up --detach comes back when the daemon answers; a second is refused; commands wake it; down comes back when it is gone', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  const up = await ada.json(['up', '--detach', '--trust'])
  try {
    assert.equal(up['up'], true, JSON.stringify(up))
    const pid = up['pid'] as number
    const identity = { bootId: bootId(), pid, startTime: startTimeOf(pid) }
    assert.ok(isAlive(identity))
    for (const args of [['up', '--detach'], ['up']]) {
      const second = await ada.type([...args, '--json'])
      assert.deepEqual([second.code, (JSON.parse(second.stdout) as { refused: string }).refused], [1, 'already-up'])
    }
    const { daemon } = (await ada.json(['status'])) as { daemon: { pid: number } }
    assert.equal(daemon.pid, pid)
    assert.equal((await ada.json(['add', 'Sell tea']))['daemonHeard'], true)
    assert.match((await ada.type(['status'])).stdout, /^Daemon {4}up \d+s, pid \d+, sandbox rung \w+$/m)

    assert.deepEqual(await ada.json(['down']), { down: true, wasUp: true, pid })
    assert.equal(isAlive(identity), false)
    assert.deepEqual(await ada.json(['down']), { down: true, wasUp: false })
    const { up: still, running } = (await ada.json(['status'])) as { up: boolean; running: unknown[] }
    assert.deepEqual([still, running], [false, []], 'what was under way has ended and is in the queue again')
    assert.match(await readFile(ada.paths.log, 'utf8'), /^Up: pid /m)
  } finally {
    await ada.type(['down'])
  }
})

/** A daemon whose processes nobody out here can see, as in a container that shares the state folder. */
async function startEnclosed(ada: Person) {
  const apart = '--user --map-root-user --pid --fork --kill-child --mount-proc'.split(' ')
  const child = await world.spawn({
    file: 'unshare',
    args: [...apart, process.execPath, built.program, 'up', '--trust'],
    cwd: ada.repository,
    env: { HOME: ada.home, PATH: ada.path },
  })
  let ended = false
  void child.exit.then(() => (ended = true))
  child.stdout.resume()
  child.stderr.resume()
  const isUp = async (): Promise<boolean> => {
    for (; !ended; await world.timer.sleep(20)) if (await nudge(ada.paths.socket)) return true
    return false
  }
  return { isUp: await isUp(), child }
}

test('a daemon in another container that shares the state is known by its socket: no second one starts, and nothing of it is reaped', async (context) => {
  await using ada = await person(built.program)
  await settled(ada)
  const { isUp, child } = await startEnclosed(ada)
  if (!isUp) return context.skip('no pid namespace can be made here')
  try {
    await ada.type(['add', 'Sell tea'])
    const area = join(ada.paths.areas, 'att_of_the_other')
    await mkdir(area)
    for (const args of [['up', '--detach'], ['up']]) {
      const second = await ada.type([...args, '--json'])
      assert.deepEqual([second.code, /it is in another container/.test(second.stdout)], [1, true], second.stdout)
    }
    for (const verb of ['reap', 'clean']) {
      const answer = await ada.type([verb, '--json', verb === 'clean' ? '--yes' : '--dry-run'])
      const { refused } = JSON.parse(answer.stdout) as { refused: string }
      assert.deepEqual([answer.code, refused], [1, 'daemon-elsewhere'], answer.stdout)
    }
    assert.ok(existsSync(area))
    const down = await ada.type(['down', '--json'])
    assert.equal((JSON.parse(down.stdout) as { refused: string }).refused, 'daemon-elsewhere')
    const { file } = (await ada.json(['backup'])) as { file: string }
    assert.equal((await ada.json(['restore', file]))['refused'], 'daemon-elsewhere')
  } finally {
    child.signal('SIGKILL')
    await child.exit
  }
})

test('a ready task that cannot start says why, in show and in status', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  await ada.json(['up', '--detach', '--trust'])
  try {
    const { task } = (await ada.json(['add', 'Sell coffee', '--tag', 'family:anthropic'])) as { task: { id: string } }
    const why = "the task's tag asks for anthropic, which is not usable"
    let waits: unknown = null
    for (let looks = 0; waits === null && looks < 50; looks++) waits = (await ada.json(['show', task.id]))['waits']
    assert.equal(waits, why)
    assert.match(
      (await ada.type(['show', task.id])).stdout,
      new RegExp(`ready: implement is next and does not start: ${why}`),
    )
    assert.match(
      (await ada.type(['status'])).stdout,
      new RegExp(`Ready and not started: tri-agent doctor\n  ${task.id}  Sell coffee: ${why}`),
    )
  } finally {
    await ada.type(['down'])
  }
  const { stuck } = (await ada.json(['status'])) as { stuck: unknown[] }
  assert.deepEqual(stuck, [], 'nobody is there to know')
})

test('a daemon that cannot start is shown with its own words, and nothing is left behind', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  await writeFile(ada.paths.configFile, 'rung: group\n', { mode: 0o600 })
  const { code, stderr } = await ada.type(['up', '--detach', '--trust'])
  assert.equal(code, 1)
  assert.match(stderr, /^tri-agent: the daemon ended while it started:\n {2}tri-agent: no configured agent can start/m)
  assert.equal((await ada.json(['status']))['up'], false)
})

test('a daemon whose database is removed under it ends and says so; while one lives on nobody starts another in its place', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  const up = ada.type(['up', '--trust'])
  while ((await ada.json(['status']))['up'] !== true);
  const { database, socket } = ada.paths
  rmSync(database)
  const { code, stderr } = await up
  assert.equal(code, 1)
  assert.match(
    ada.still(stderr),
    /^tri-agent: ~\S+tasks\.db was moved away, removed or replaced while it was open\n {2}→ .*tri-agent restore latest$/m,
  )
  const next = async (...args: string[]) => ada.still((await ada.type(args)).stderr)
  const said = /^tri-agent: ~\S+tasks\.db is gone, and .* left of it\n {2}→ .*tri-agent restore latest/
  for (const verb of ['status', 'init', 'up', 'down']) assert.match(await next(verb), said, verb)
  for (const end of ['-wal', '-shm']) rmSync(`${database}${end}`, { force: true })
  assert.match(await next('status'), said)
  await ada.json(['init'])
  const stranger = createServer((connection) => connection.resume()).listen(socket)
  await once(stranger, 'listening')
  try {
    const refused = await ada.type(['up', '--trust'])
    assert.equal(refused.code, 1)
    assert.match(
      refused.stderr,
      /the daemon of another database lives on and answers for this one\n {2}→ end it \(fuser /,
    )
  } finally {
    stranger.close()
  }
})

test('a daemon that another one or a restore has taken the database from starts nothing more, and ends', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  const up = ada.type(['up', '--trust'])
  while ((await ada.json(['status']))['up'] !== true);
  const other = { pid: 1, boot_id: 'elsewhere', start_time: null, started_at: 1 }
  await ada.withDatabase((database) => database.write((tx) => takeEpoch(tx, other)))
  const { code, stderr } = await up
  assert.equal(code, 1)
  assert.match(
    stderr,
    /^tri-agent: \S+tasks\.db has been taken over: .* epoch 2, this daemon is of epoch 1\n {2}→ tri-agent status$/m,
  )
})
