/** The launcher's words with the daemon, whom it refuses, and when it ends what it has started: spoken with over its socket, in no container. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { Fault } from '../host/fault.ts'
import { removeTree } from './area.ts'
import { type Companion, reachCompanion } from './companion.ts'
import { serveCompanion } from './companion-launcher.ts'
import { standOnCompanion } from './companion-probe.ts'
import { helloBytes, listen, protocol, say, tokenFileOf } from './companion-wire.ts'
import { carrying, freshArea, hear, makeFolder, path, see, shell, stubborn, untilGone, world } from './fixture.ts'
import type { Sandbox } from './sandbox.ts'

const folder = await makeFolder()
after(() => removeTree(folder))

/** A launcher of this very process, in no container: what is said over the wire is the same. */
async function serve(own = world) {
  const socket = join(folder, world.id('wire'), 'socket')
  const serving = await serveCompanion({ world: own, socket, path, version: '0', isFirst: false })
  return { socket, serving, token: readFileSync(tokenFileOf(socket), 'utf8') }
}

async function reach(socket: string, house = folder): Promise<Companion> {
  const reached = await reachCompanion(world, socket, house)
  if (typeof reached === 'string') throw new Error(reached)
  return reached
}

async function whyNot(socket: string): Promise<string> {
  const reached = await reachCompanion(world, socket, folder)
  return typeof reached === 'string' ? reached : 'it was spoken to'
}

/** Says something and hears what comes until the other side hangs up, or until there is an answer. */
function call(socket: string, tell: (line: Socket) => void): Promise<Record<string, unknown> | 'hung up'> {
  const line = connect(socket)
  return new Promise((resolve) => {
    listen(
      line,
      () => 100_000,
      (message) => {
        resolve(message)
        line.destroy()
      },
    )
    line.on('error', () => resolve('hung up'))
    line.on('close', () => resolve('hung up'))
    line.on('connect', () => tell(line))
  })
}

const length = (bytes: number): Buffer => {
  const said = Buffer.alloc(4)
  said.writeUInt32BE(bytes)
  return said
}

test('who does not show the token of this very start, or breaks the form, is hung up on; others are served on', async () => {
  const patient = { ...world, timer: { ...world.timer, after: () => () => {} } } // it is not for being slow
  const { socket, serving, token } = await serve(patient)
  await using _ = serving
  const hello = { protocol, token, session: 'a'.repeat(32), kind: 'session' }
  const strangers: [string, (line: Socket) => void][] = [
    ['no token', (line) => say(line, { ...hello, token: undefined })],
    ['a wrong token', (line) => say(line, { ...hello, token: 'f'.repeat(token.length) })],
    ['a token that is longer', (line) => say(line, { ...hello, token: `${token}00` })],
    ['no kind', (line) => say(line, { ...hello, kind: 'daemon' })],
    ['a tree of no session', (line) => say(line, { ...hello, kind: 'tree', tree: 'b'.repeat(32) })],
    ['a stream of no tree', (line) => say(line, { ...hello, kind: 'stdout', tree: 'b'.repeat(32) })],
    ['no object', (line) => line.write(Buffer.concat([length(4), Buffer.from('null')]))],
    ['no JSON', (line) => line.write(Buffer.concat([length(4), Buffer.from('{{{{')]))],
    ['a length beyond the bound', (line) => line.write(length(helloBytes + 1))],
    ['a length without end', (line) => line.write(length(0xffffffff))],
    ['HTTP', (line) => line.write('GET / HTTP/1.1\r\n\r\n')],
  ]
  for (const [who, tell] of strangers) assert.equal(await call(socket, tell), 'hung up', who)
  assert.match(
    JSON.stringify(await call(socket, (line) => say(line, { ...hello, protocol: 99 }))),
    /protocol 1, not 99/,
  )
  const welcomed = await call(socket, (line) => say(line, hello))
  assert.ok(welcomed !== 'hung up' && 'welcome' in welcomed)
})

test('who says nothing is hung up on', async () => {
  const late: (() => void)[] = []
  const timer = { ...world.timer, after: (_ms: number, fn: () => void) => (late.push(fn), () => {}) }
  const socket = join(folder, world.id('wire'), 'socket')
  await using _ = await serveCompanion({ world: { ...world, timer }, socket, path, version: '0', isFirst: false })
  const line = connect(socket)
  await new Promise((resolve) => line.once('connect', resolve))
  while (late.length === 0) await world.timer.sleep(2)
  const closed = new Promise((resolve) => line.once('close', resolve))
  late.forEach((each) => each())
  await closed
})

test('the socket and the token are their owner’s alone, and new at each start', async () => {
  const first = await serve()
  const modes = [first.socket, tokenFileOf(first.socket)].map((file) => statSync(file).mode & 0o777)
  await first.serving[Symbol.asyncDispose]()
  assert.deepEqual(
    [modes, existsSync(first.socket), existsSync(tokenFileOf(first.socket))],
    [[0o600, 0o600], false, false],
  )
  await using again = await serveCompanion({ world, socket: first.socket, path, version: '0', isFirst: false })
  assert.notEqual(readFileSync(tokenFileOf(first.socket), 'utf8'), first.token)
  void again
})

test('a socket or token that others could open, or that is none, is not spoken to', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const spoil = async (file: string) => {
    chmodSync(file, 0o644)
    const answer = await whyNot(socket)
    chmodSync(file, 0o600)
    return answer
  }
  assert.match(await spoil(socket), /is not what a companion makes \(0600\)/)
  assert.match(await spoil(tokenFileOf(socket)), /is not what a companion makes \(0600\)/)
  assert.match(await whyNot(join(folder, 'none')), /no companion listens at/)
  renameSync(socket, `${socket}-2`)
  writeFileSync(socket, '', { mode: 0o600 })
  assert.match(await whyNot(socket), /is not what a companion makes/)
})

async function begin(sandbox: Sandbox) {
  const token = world.id('tree')
  const contained = await sandbox.start(shell(await freshArea(folder), stubborn(token), token))
  await hear(contained, 'up\nup\n')
  return { contained, token }
}

test('a daemon whose connection is gone has nothing left in the companion; another one’s trees go on', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const [one, other] = [await reach(socket), await reach(socket)]
  const [gone, stays] = [await begin(one.sandbox), await begin(other.sandbox)]
  one.close()
  assert.deepEqual(await gone.contained.exit, { code: null, signal: 'SIGKILL' })
  assert.equal(await untilGone(gone.token), 0)
  assert.ok(carrying(stays.token).length >= 2)
  assert.deepEqual((await stays.contained.kill()).survivors, 0)
  assert.equal(await untilGone(stays.token), 0)
  other.close()
})

test('a later epoch ends what an earlier one has left, and proves it; the earlier one starts nothing more', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const [frozen, next, look] = [await reach(socket), await reach(socket), await reach(socket)]
  await frozen.sandbox.claim!(3)
  const before = await begin(frozen.sandbox)
  const beside = await begin(look.sandbox) // of a doctor, say, that claims nothing
  await next.sandbox.claim!(4)
  assert.equal(carrying(before.token).length, 0, 'proven before the claim is answered')
  assert.ok(carrying(beside.token).length >= 2)
  await assert.rejects(begin(frozen.sandbox), /a later daemon has it \(epoch 4\)/)
  const stranger = await reach(socket, '/another/state')
  await assert.rejects(stranger.sandbox.claim!(1), /another daemon has it/)
  next.close()
  await beside.contained.kill()
})

test('more than may be said is refused before it is said', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const { sandbox, close } = await reach(socket)
  const box = shell(await freshArea(folder), 'cat >/dev/null; echo read')
  const large = await sandbox.start({ ...box, stdin: 'x'.repeat(8_000_000) })
  await hear(large, 'read')
  await assert.rejects(sandbox.start({ ...box, stdin: 'x'.repeat(34_000_000) }), /more than \d+ bytes to say/)
  await large.kill()
  close()
})

test('who prints faster than is read waits: the launcher holds no more than a little of it', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const { sandbox, close } = await reach(socket)
  const area = await freshArea(folder)
  const script = 'exec 3>written; while head -c 100000 /dev/zero; do printf x >&3; done'
  const contained = await sandbox.start(shell(area, script))
  const size = () => statSync(join(area.work, 'written'), { throwIfNoEntry: false })?.size ?? 0
  let before = 0
  for (let now = -1; now !== before || now < 1; now = size()) {
    before = size()
    await world.timer.sleep(200)
  }
  assert.ok(before < 30, `${before} x 100 kB were taken that nobody read`)
  await contained.kill()
  close()
})

test('what a tree is told to pass to where nobody listens does not harm the launcher', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const { sandbox, close } = await reach(socket)
  const area = await freshArea(folder)
  const way = { socket: join(folder, 'nobody'), url: '' }
  const port = /\d+$/.exec(sandbox.view(area, way).gatewayUrl)![0]
  const box = shell(area, `exec 3<>/dev/tcp/127.0.0.1/${port}; read -r -t 5 -u 3 said; echo "$said."`, 'sh', {
    gateway: way,
  })
  assert.equal((await see(sandbox, { ...box, argv: ['/bin/bash', ...box.argv.slice(1)] })).stdout, '.\n')
  const taken = createServer().listen(Number(port), '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  await assert.rejects(sandbox.start(box), (error) => error instanceof Fault && /EADDRINUSE/.test(error.message))
  taken.close()
  assert.equal((await see(sandbox, shell(area, 'echo well'))).stdout, 'well\n')
  close()
})

test('one in the same container as the daemon is not stood on', async () => {
  const { socket, serving } = await serve()
  await using _ = serving
  const place = { socket, house: folder, areas: folder, sockets: folder, readOnly: [], hidden: [] }
  const found = await standOnCompanion(world, place)
  assert.match('missing' in found ? found.missing : 'it was stood on', /^it is in the same container as tri-agent/)
})
