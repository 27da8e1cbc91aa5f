/** A command reaches the daemon's writer while it answers, and the file when it does not; either way it has been carried out once. Real processes. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { answerRequest } from '../../src/command/request.ts'
import { bootId, isAlive, startTimeOf } from '../../src/host/proc.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

/** A daemon whose agents reach nobody; what it starts cannot get far. */
async function settled(ada: Person): Promise<void> {
  const program = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
  const family = `{ agent: scripted, program: ${program}, baseUrl: "http://127.0.0.1:9", keyFrom: { value: none }, models: gpt-6-sol }`
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  await writeFile(ada.paths.configFile, `rung: group\nhttp: { port: 0 }\nfamilies: { openai: ${family} }\n`, {
    mode: 0o600,
  })
  await ada.type(['init'])
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
  await ada.type(['pause']) // nothing starts: only commands are looked at
}

const titles = async (ada: Person): Promise<string[]> =>
  ((await ada.json(['list'])) as { tasks: { title: string }[] }).tasks.map(({ title }) => title).toSorted()
/** Commands that were carried out with their answer written down: by a daemon, or by hand after it was asked. */
const written = (ada: Person): Promise<number> =>
  ada.withDatabase(async (database) =>
    database.read(async (reader) => (await reader.get<{ n: number }>('select count(*) as n from command'))!.n),
  )

test('up, stopped, and awake again: each command is carried out once, by whoever gets to it', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  assert.equal(await written(ada), 0, 'with nobody there, nothing can come twice')
  const { pid } = (await ada.json(['up', '--detach', '--trust'])) as { pid: number }
  const startTime = startTimeOf(pid)
  try {
    assert.equal((await ada.json(['add', 'Sell tea']))['daemonHeard'], true)
    assert.equal(await written(ada), 1, 'the daemon wrote it')
    assert.equal((await ada.json(['hold', 'task_nobody']))['refused'], 'no-such-task')
    assert.equal(await written(ada), 2)

    process.kill(pid, 'SIGSTOP')
    const began = world.clock.mono()
    const meanwhile = await ada.json(['add', 'Sell coffee'])
    const ms = world.clock.mono() - began
    assert.deepEqual([meanwhile['daemonHeard'], await titles(ada)], [false, ['Sell coffee', 'Sell tea']])
    assert.ok(ms < 5000, `${Math.round(ms)} ms`)
    assert.equal((await ada.json(['retry', (meanwhile['task'] as { id: string }).id]))['refused'], 'wrong-state')
    process.kill(pid, 'SIGCONT')
    assert.equal(
      (await ada.json(['add', 'Sell cups']))['daemonHeard'],
      true,
      'it has read all that was in its socket before',
    )
    assert.deepEqual(await titles(ada), ['Sell coffee', 'Sell cups', 'Sell tea'])

    await ada.type(['down'])
    assert.equal((await ada.json(['add', 'Sell pots']))['daemonHeard'], false)
    assert.deepEqual(await titles(ada), ['Sell coffee', 'Sell cups', 'Sell pots', 'Sell tea'])
  } finally {
    if (isAlive({ bootId: bootId(), pid, startTime })) process.kill(pid, 'SIGCONT')
    await ada.type(['down'])
  }
})

test('a daemon that speaks an older language, or none, is not believed: the command goes to the file, once', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  await mkdir(ada.paths.sockets, { recursive: true, mode: 0o700 })
  const said: string[] = []
  let answer: Buffer | null = Buffer.from('ok\n')
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (bytes) => {
      said.push(String(bytes))
      if (answer === null) socket.destroy()
      else socket.end(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(ada.paths.socket, resolve))
  try {
    const replies: (Buffer | null)[] = [
      Buffer.from('ok\n'), // the daemon that knew nudges only
      Buffer.from('{"not":"version"}\n'),
      Buffer.from([0xff, 0x00, 0x0a]),
      Buffer.from('"done"\n'),
      Buffer.from('no end'),
      null,
    ]
    for (const [index, each] of replies.entries()) {
      answer = each
      const { code } = await ada.type(['add', `Sell tea ${index}`])
      assert.equal(code, 0)
    }
    assert.deepEqual(
      await titles(ada),
      replies.map((_, index) => `Sell tea ${index}`),
    )
    assert.match(said[0]!, /^\{"id":"cmd_\w+","version":"[^"]+","by":"person:[^"]+","until":\d+,"name":"add","args":\[/)
    assert.equal(said[1], 'nudge\n', 'one that answered and did nothing is woken')
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})

test('a daemon that does it and dies before it can say so: nothing is done twice, and the answer is the one it would have given', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  await mkdir(ada.paths.sockets, { recursive: true, mode: 0o700 })
  const answers: string[] = []
  const server = createServer((socket) => {
    socket.once('data', (bytes) => {
      if (String(bytes) === 'nudge\n') return socket.destroy()
      const { version } = JSON.parse(String(bytes)) as { version: string }
      void ada
        .withDatabase((database) => answerRequest({ database, world, version }, String(bytes)))
        .then((answer) => answers.push(answer))
        .finally(() => socket.destroy())
    })
  })
  await new Promise<void>((resolve) => server.listen(ada.paths.socket, resolve))
  try {
    const { task } = (await ada.json(['add', 'Sell tea'])) as { task: { id: string } }
    const { done } = JSON.parse(answers[0]!) as { done: { id: string } }
    assert.deepEqual([task.id, await titles(ada)], [done.id, ['Sell tea']])
    assert.equal(
      (await ada.json(['hold', task.id, '--why', 'no leaves']))['refused'],
      undefined,
      'held already, by itself',
    )
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})
