/** Requests whose client, or whose provider, is gone before there was a word of an answer: nothing is asked again, nothing stays held. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test from 'node:test'
import { realWorld } from '../host/world.ts'
import { askIn } from './canned.ts'
import { answering, books, setStage, tell, used } from './rehearsal.ts'

const dialect = 'anthropic-messages'
const { path, body } = askIn(dialect, true)
const { timer } = realWorld()
/** Without a stream, whose time to think is not counted. */
const timeouts = { idleMs: 60_000, tickMs: 20, patienceMs: 9000 }

for (const [who, leaves] of [
  ['a client that goes away', 'client'],
  ['a key that is revoked', 'key'],
] as const)
  test(`${who} before the first byte of an answer on a connection kept alive is not asked for again`, async () => {
    await using stage = await setStage(answering(dialect, used), { timeouts })
    const { key, attempt } = await stage.enter(dialect)
    const headers = { 'x-api-key': key }
    await tell(stage.gateway, { path, headers, body })
    const reached = Promise.withResolvers<Socket>()
    stage.provider.script = (request) => reached.resolve(request.socket as Socket)
    const leaving = new AbortController()
    const asked = tell(stage.gateway, { path, headers, body, signal: leaving.signal }).catch(() => null)
    const socket = await reached.promise
    const hungUp = once(socket, 'close')
    if (leaves === 'client') leaving.abort()
    else await stage.gateway.revoke(attempt)
    await hungUp
    await asked
    await stage.settled(2)
    const { charges, held } = await books(stage)
    assert.deepEqual([charges.map(({ how }) => how), held], [['exact', 'estimated'], 0])
    assert.equal(stage.provider.arrived.length, 2)
  })

test('a connection kept alive that breaks while the provider works on a request is no reason to pay for it twice', async () => {
  await using stage = await setStage(answering(dialect, used), { timeouts })
  const { key } = await stage.enter(dialect)
  const headers = { 'x-api-key': key }
  await tell(stage.gateway, { path, headers, body })
  stage.provider.script = (request) => void timer.after(1500, () => (request.socket as Socket).resetAndDestroy())
  assert.equal((await tell(stage.gateway, { path, headers, body })).status, 502)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges.map(({ how }) => how), held], [['exact', 'estimated'], 0])
  assert.equal(stage.provider.arrived.length, 2)
})

test('a provider that would speak another protocol is charged at the bound, and its client hears of it at once', async () => {
  await using stage = await setStage(
    (request) =>
      void request.socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    { timeouts },
  )
  const { key, attempt } = await stage.enter(dialect)
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal(heard.status, 502)
  assert.equal(stage.gateway.report(attempt).verdict, 'unreachable')
  const { charges, held } = await books(stage)
  assert.deepEqual([charges.map(({ how }) => how), held], [['estimated'], 0])
})

test('who asks twice on one connection and goes away is gone from both', async () => {
  await using stage = await setStage(answering(dialect, used), { timeouts })
  const { key } = await stage.enter(dialect)
  await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body }) // of a provider nobody has heard of, one at a time is asked
  const reached = Promise.withResolvers<void>()
  stage.provider.script = () => {
    if (stage.provider.arrived.length === 3) reached.resolve()
  }
  const client = connect(Number(new URL(stage.gateway.url).port), '127.0.0.1')
  const one = `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  client.write(one + one)
  await reached.promise
  client.destroy()
  await stage.settled(3)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges.map(({ how }) => how), held], [['exact', 'estimated', 'estimated'], 0])
})

test('an answer in one piece that nobody waits for is charged as if it had come: it goes on being made', async () => {
  await using stage = await setStage(() => {}, { timeouts })
  const { key } = await stage.enter(dialect)
  const reached = Promise.withResolvers<void>()
  stage.provider.script = () => reached.resolve()
  const whole = askIn(dialect, false, {}, 40_000)
  const leaving = new AbortController()
  const asked = tell(stage.gateway, {
    path,
    headers: { 'x-api-key': key },
    body: whole.body,
    signal: leaving.signal,
  }).catch(() => null)
  await reached.promise
  leaving.abort()
  await asked
  await stage.settled(1)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges[0]!.how, held], ['estimated', 0])
  assert.ok(charges[0]!.nanoUsd >= 40_000 * 20_000, `${charges[0]!.nanoUsd}`)
})

test('a ledger that fails once when an answer is to be settled leaves nothing held', async () => {
  const ledger = { fails: false }
  await using stage = await setStage(() => {}, {
    timeouts,
    wrap: (database) => ({
      ...database,
      write: (transaction) => {
        if (!ledger.fails) return database.write(transaction)
        ledger.fails = false
        return Promise.reject(new Error('the disk is busy'))
      },
    }),
  })
  const { key } = await stage.enter(dialect)
  stage.provider.script = (...call) => {
    ledger.fails = true
    return answering(dialect, used)(...call)
  }
  const whole = askIn(dialect, false)
  const heard = await tell(stage.gateway, { ...whole, headers: { 'x-api-key': key } }).catch(() => null)
  assert.ok(heard === null || heard.broken)
  await stage.settled(1)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges.map(({ how }) => how), held], [['exact'], 0])
  assert.deepEqual(
    stage.events.flatMap((event) => (event.type === 'gateway.failed' ? [event.error] : [])),
    ['Error: the disk is busy'],
  )
})

test('how long a request had to wait here is no silence of its provider', async () => {
  await using stage = await setStage(
    async (...call) => {
      await timer.sleep(900)
      await answering(dialect, used)(...call)
    },
    { timeouts: { ...timeouts, idleMs: 1500 } },
  )
  const { key } = await stage.enter(dialect)
  const ask = () => tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  const heard = await Promise.all([ask(), ask()]) // of a provider nobody has heard of, one at a time is asked
  assert.deepEqual(
    heard.map(({ status, broken }) => [status, broken]),
    [
      [200, false],
      [200, false],
    ],
  )
})
