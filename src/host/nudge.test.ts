import assert from 'node:assert/strict'
import { linkSync, lstatSync, unlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ask, listenForNudges, nudge } from './nudge.ts'

async function place(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nudge-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'daemon.sock')
}

const echo = (line: string) => Promise.resolve(`heard ${line}`)

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
  await using _ = await listenForNudges(path, () => (heard += 1), echo)
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
  await using _ = await listenForNudges(path, () => {}, echo)
  assert.equal(lstatSync(path).mode & 0o777, 0o600)
  assert.equal(await nudge(path), true)
})

test('what is no socket is never removed: listening there fails', async (t) => {
  const path = await place(t)
  writeFileSync(path, 'somebody else wrote this')
  const listening = listenForNudges(path, () => {}, echo)
  t.after(() => listening.then((each) => each[Symbol.asyncDispose]()).catch(() => {})) // or a failure would never end
  await assert.rejects(listening, { code: 'EADDRINUSE' })
  assert.ok(lstatSync(path).isFile())
})

test('listening ends at once although somebody who connected says nothing, and may be ended twice', async (t) => {
  const path = await place(t)
  const listening = await listenForNudges(path, () => {}, echo)
  const silent = await connected(path)
  t.after(() => silent.destroy())
  await listening[Symbol.asyncDispose]()
  await listening[Symbol.asyncDispose]()
  assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined)
})

test('a line that is no nudge is answered with a line, each by its own, however it is cut into pieces', async (t) => {
  const path = await place(t)
  let nudged = 0
  await using _ = await listenForNudges(path, () => (nudged += 1), echo)
  const lines = ['{}', '', 'nudge me', 'ü'.repeat(200_000)]
  const answers = await Promise.all(lines.map((line) => ask(path, line, 5000)))
  assert.deepEqual(
    answers,
    lines.map((line) => ({ answer: `heard ${line}`, sent: true })),
  )
  assert.equal(nudged, 0)
  const slow = await connected(path)
  t.after(() => slow.destroy())
  const answered = new Promise<string>((resolve) => slow.once('data', (bytes) => resolve(String(bytes))))
  for (const piece of ['sell ', 'tea', '\nand more that nobody reads\n']) {
    slow.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await answered, 'heard sell tea\n')
})

test('who asked knows whether anybody may have heard: not where nobody listens, and for all they know where no answer came', async (t) => {
  const path = await place(t)
  assert.deepEqual(await ask(path, 'x'), { answer: null, sent: false })
  await using failing = await listenForNudges(
    path,
    () => {},
    () => Promise.reject(new Error('no')),
  )
  assert.deepEqual(await ask(path, 'x'), { answer: null, sent: true })
  await failing[Symbol.asyncDispose]()
  await using _ = await listenForNudges(
    path,
    () => {},
    () => new Promise(() => {}),
  )
  assert.deepEqual(await ask(path, 'x'), { answer: null, sent: true })
})

test('bytes without an end, without sense or without a reader hang up their own connection and nobody else', async (t) => {
  const path = await place(t)
  await using _ = await listenForNudges(path, () => {}, echo)
  const flood = await connected(path)
  const hungUp = new Promise((resolve) => flood.once('close', resolve))
  flood.on('error', () => {})
  const block = Buffer.alloc(1 << 20, 'x')
  const pour = () => {
    while (!flood.destroyed && flood.write(block));
  }
  flood.on('drain', pour)
  pour()
  const gone = await connected(path)
  gone.write('half a li')
  gone.destroy()
  const rude = await connected(path)
  t.after(() => rude.destroy())
  rude.on('error', () => {})
  rude.write(Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0a]))
  assert.equal(await nudge(path), true)
  await hungUp
  assert.deepEqual(await ask(path, 'x'), { answer: 'heard x', sent: true })
})
