/** The companion in a container of its own, made of what bubblewrap has: what it holds, each with a proof that the test could fail. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { Fault } from '../host/fault.ts'
import { killProcess } from '../host/proc.ts'
import { removeTree } from './area.ts'
import { reachCompanion } from './companion.ts'
import { type CompanionPlace, standOnCompanion } from './companion-probe.ts'
import {
  carrying,
  freshArea,
  hear,
  hostPidOf,
  makeFolder,
  path,
  see,
  type Sharing,
  shell,
  startCompanion,
  stubborn,
  untilGone,
  world,
} from './fixture.ts'
import type { Sandbox } from './sandbox.ts'

const folder = await makeFolder()
after(() => removeTree(folder))

/** A companion in a container, with what it shares; hidden from it is all else of the test's folder. */
async function enclosed(more: Partial<Sharing> = {}) {
  const house = join(folder, world.id('house'))
  const [areas, sockets, repos] = [join(house, 'areas'), join(house, 's'), join(house, 'repos')]
  for (const each of [areas, sockets, repos]) await mkdir(each, { recursive: true })
  const database = join(house, 'tasks.db')
  await writeFile(database, 'hush-database')
  const start = (other: Partial<Sharing>) =>
    startCompanion({
      folder: join(folder, world.id('door')),
      shared: [areas],
      readOnly: [sockets, repos],
      hidden: [house],
      ...other,
    })
  const place = (socket: string): CompanionPlace => ({
    socket,
    house,
    areas,
    sockets,
    readOnly: [sockets, repos],
    hidden: [database],
  })
  return { started: await start(more), start, place, areas, sockets, repos, house, database }
}

const trial = await enclosed()
const skip = typeof trial.started === 'string' && trial.started
after(() => (typeof trial.started === 'string' ? undefined : trial.started.end()))
const inside = (name: string, body: () => Promise<void>): void => void test(name, { skip }, body)

async function stand({ started, place }: Awaited<ReturnType<typeof enclosed>>) {
  if (typeof started === 'string') throw new Error(started)
  return standOnCompanion(world, place(started.socket))
}
async function sandboxOf(of: Awaited<ReturnType<typeof enclosed>>): Promise<Sandbox> {
  const found = await stand(of)
  if ('missing' in found) throw new Error(found.missing)
  return found.sandbox
}

inside('one that shares no more than it must is stood on, and says what it holds and loses', async () => {
  const found = await stand(trial)
  assert.ok(!('missing' in found), JSON.stringify(found))
  assert.deepEqual(
    [found.holds, found.loses],
    [
      [
        'your keys, settings and database are not in it',
        'nothing of an attempt survives its end, nor ours: it is PID 1 of its container',
        'no network but the gateway',
      ],
      ['attempts are not held from one another'],
    ],
  )
})

inside('one that sees, shares or lets write what it must not is not stood on, and that is named', async () => {
  const { start, areas, sockets, repos } = trial
  const objections: [RegExp, Partial<Sharing>][] = [
    [/^it can see [^]*tasks\.db: share no more/, { hidden: [] }],
    [/^it can write [^]*repos: share them read-only$/, { shared: [areas, repos], readOnly: [sockets] }],
    [/s are not there: share them, at the same path$/, { readOnly: [repos] }],
    [/is not the same folder there|cannot be started in it/, { shared: [], readOnly: [sockets, repos] }],
  ]
  for (const [expected, more] of objections) {
    const started = await start(more)
    const found = await stand({ ...trial, started })
    if (typeof started !== 'string') await started.end()
    assert.match('missing' in found ? found.missing : 'it was stood on', expected)
  }
})

inside(
  'a program in it sees no process, no key and no file of the daemon; where one is put there it is found',
  async () => {
    const key = 'hush-key-of-the-daemon'
    const bystander = await world.spawn({ file: 'sleep', args: ['60'], cwd: '/', env: { PATH: path, KEY: key } })
    const search = (words: string[]) =>
      `cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -o ${key}; ${words.map((each) => `cat '${each}' 2>/dev/null;`).join(' ')} :`
    const look = async (of: typeof trial) => {
      const { stdout } = await see(await sandboxOf(of), shell(await freshArea(of.areas), search([of.database])))
      return [stdout.includes(key), stdout.includes('hush-database')]
    }
    assert.deepEqual(await look(trial), [false, false])
    const planted = await enclosed({ env: { KEY: key }, hidden: [] })
    // to show that it would be found, it is spoken to without the probe that refuses it
    if (typeof planted.started === 'string') throw new Error(planted.started)
    const reached = await reachCompanion(world, planted.started.socket, planted.house)
    if (typeof reached === 'string') throw new Error(reached)
    const { sandbox, close } = reached
    const { stdout } = await see(sandbox, shell(await freshArea(planted.areas), search([planted.database])))
    close()
    await planted.started.end()
    bystander.signal('SIGKILL')
    assert.deepEqual([stdout.includes(key), stdout.includes('hush-database')], [true, true])
  },
)

inside('of the network, only the gateway answers', async () => {
  const gateway = { socket: join(trial.sockets, 'g.sock'), url: '' }
  const front = createHttpServer((_, response) => void response.end('the gateway'))
  const host = createServer((connection) => connection.end('the host'))
  await new Promise<void>((resolve) => front.listen(gateway.socket, resolve))
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve))
  const sandbox = await sandboxOf(trial)
  const area = await freshArea(trial.areas)
  const door = Number(/\d+$/.exec(sandbox.view(area, gateway).gatewayUrl)![0])
  const ask = async (port: number) => {
    const script = `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3`
    const box = shell(area, script, 'sh', { gateway })
    return (await see(sandbox, { ...box, argv: ['/bin/bash', ...box.argv.slice(1)] })).stdout.trim()
  }
  assert.deepEqual([await ask(door), await ask((host.address() as AddressInfo).port)], ['the gateway', ''])
  front.close()
  host.close()
})

/** A program that ends its watcher, and leaves a daemon that has let go of all it can be known by. */
const escape = (token: string) =>
  `(setsid env -i sh -c 'exec >&- 2>&- <&- 3<&-; exec sh -c "while :; do sleep 1; done" "$0-became"' ${token} &); until grep -qs ${token}-becam[e] /proc/[0-9]*/cmdline; do :; done; kill -9 $PPID; exec sleep 300`

inside(
  'a program that ends its watcher is gone all the same where the launcher is PID 1; where not, it gets away',
  async () => {
    const second = await enclosed({ isFirst: false })
    const play = async (of: typeof trial) => {
      const sandbox = await sandboxOf(of)
      const [token, beside] = [
        world.id('escape'),
        await sandbox.start(shell(await freshArea(of.areas), 'echo up; sleep 300')),
      ]
      await hear(beside, 'up')
      const contained = await sandbox.start(shell(await freshArea(of.areas), escape(token), token))
      assert.deepEqual(await contained.exit, { code: null, signal: 'SIGKILL' })
      const { survivors } = await contained.kill()
      const there = carrying(`${token}-became`).length
      carrying(token).forEach(killProcess)
      const goesOn = hostPidOf(beside) > 0
      await beside.kill()
      return { survivors, there, goesOn }
    }
    assert.deepEqual(await play(trial), { survivors: 0, there: 0, goesOn: true })
    assert.deepEqual(await play(second), { survivors: 0, there: 1, goesOn: true })
    if (typeof second.started !== 'string') await second.started.end()
  },
)

inside('a companion that dies takes its trees along; the next one is asked, and is started in', async () => {
  const door = join(folder, world.id('door'))
  const of = await enclosed({ folder: door })
  const sandbox = await sandboxOf(of)
  await sandbox.claim!(1)
  const token = world.id('tree')
  const contained = await sandbox.start(shell(await freshArea(of.areas), stubborn(token), token))
  await hear(contained, 'up\nup\n')
  if (typeof of.started === 'string') throw new Error(of.started)
  await of.started.end()
  assert.deepEqual(await contained.exit, { code: null, signal: 'SIGKILL' })
  const sharing = { folder: door, shared: [of.areas], readOnly: [of.sockets, of.repos], hidden: [of.house] }
  const next = await startCompanion(sharing)
  if (typeof next === 'string') throw new Error(next)
  assert.deepEqual([(await contained.kill()).survivors, await untilGone(token)], [0, 0])
  assert.equal((await see(sandbox, shell(await freshArea(of.areas), 'echo well'))).stdout, 'well\n')
  await next.end()
  const last = sandbox.start(shell(await freshArea(of.areas), 'echo well'))
  await assert.rejects(last, (error) => error instanceof Fault && error.code === 'companion-gone')
})

inside('where nobody answers any more, nothing is called dead', async () => {
  const of = await enclosed()
  const sandbox = await sandboxOf(of)
  const { contained } = { contained: await sandbox.start(shell(await freshArea(of.areas), 'echo up; sleep 300')) }
  await hear(contained, 'up')
  if (typeof of.started === 'string') throw new Error(of.started)
  await of.started.end()
  assert.equal((await contained.kill()).survivors, 1)
})
