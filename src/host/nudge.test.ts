import assert from 'node:assert/strict'
import { linkSync, lstatSync, unlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { listenForNudges, nudge } from './nudge.ts'

async function place(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nudge-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'daemon.sock')
}

/** A listener that does with each connection what it is told, and is gone when the test ends. */
async function listener(t: TestContext, path: string, meet: (socket: Socket) => void): Promise<void> {
  const server = createServer((socket) => {
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    meet(socket)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
}

const connected = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(socket)).once('error', reject)
  })

test('a nudge is heard once by a daemon that listens, and the one who nudged knows', async (t) => {
  const path = await place(t)
  let heard = 0
  await using _ = await listenForNudges(path, () => (heard += 1))
  assert.deepEqual([await nudge(path), heard], [true, 1])
  assert.deepEqual([await nudge(path), heard], [true, 2])
})

test('where nobody listens a nudge answers false and never throws', async (t) => {
  const path = await place(t)
  assert.equal(await nudge(path), false)
  writeFileSync(path, 'no socket at all')
  assert.equal(await nudge(path), false)
})

test('a daemon that dies, hangs up or says nothing while it is nudged leaves nobody waiting', async (t) => {
  const path = await place(t)
  for (const [name, meet] of [
    ['hangs up', (socket: Socket) => socket.end()],
    ['dies', (socket: Socket) => socket.destroy()],
    ['says nothing', () => {}],
  ] as const) {
    const where = `${path}-${name.replaceAll(' ', '-')}`
    await listener(t, where, meet)
    assert.equal(await nudge(where), false, name)
  }
})

test('the socket is for its owner alone, and one that a dead daemon left is replaced', async (t) => {
  const path = await place(t)
  const dead = createServer()
  await new Promise<void>((resolve) => dead.listen(`${path}-old`, resolve))
  t.after(() => dead.close())
  linkSync(`${path}-old`, path) // a second name: closing the listener removes only the first, as kill -9 removes none
  unlinkSync(`${path}-old`)
  dead.close()
  assert.ok(lstatSync(path).isSocket())
  await using _ = await listenForNudges(path, () => {})
  assert.equal(lstatSync(path).mode & 0o777, 0o600)
  assert.equal(await nudge(path), true)
})

test('what is no socket is never removed: listening there fails', async (t) => {
  const path = await place(t)
  writeFileSync(path, 'somebody else wrote this')
  const listening = listenForNudges(path, () => {})
  t.after(() => listening.then((each) => each[Symbol.asyncDispose]()).catch(() => {})) // or a failure would never end
  await assert.rejects(listening, { code: 'EADDRINUSE' })
  assert.ok(lstatSync(path).isFile())
})

test('listening ends at once although somebody who connected says nothing, and may be ended twice', async (t) => {
  const path = await place(t)
  const listening = await listenForNudges(path, () => {})
  const silent = await connected(path)
  t.after(() => silent.destroy())
  await listening[Symbol.asyncDispose]()
  await listening[Symbol.asyncDispose]()
  assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined)
})
