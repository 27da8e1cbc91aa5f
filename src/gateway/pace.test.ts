/** What the pacer and the breaker do to requests on the wire: the first makes them wait, the second ends them. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { realWorld } from '../host/world.ts'
import { readPacing } from '../store/pace.ts'
import { askIn, streamOf } from './canned.ts'
import { answering, books, setStage, tell, type Script } from './rehearsal.ts'

const world = realWorld()
const million = 1_000_000
const dialect = 'anthropic-messages'
const { path, body } = askIn(dialect, true, {}, 128_000)
/** Costs 36 million nano-dollars (4 for its input, 32 for its output); about 60 must be held for it, and that is never extended. */
const dear = { input: 1000, cached: 0, output: 1600 }

const rushed = { pace: { burstNanoUsd: 70 * million, minuteNanoUsd: 6000 * million } }

test('requests beyond the pace wait and do not fail, and their attempt is not silent meanwhile', async () => {
  await using stage = await setStage(answering(dialect, dear), { limits: rushed })
  const { key, attempt } = await stage.enter(dialect)
  const moved: string[] = []
  stage.gateway.onActivity((_, kind) => void moved.push(kind))
  const began = world.clock.mono()
  const heard = await Promise.all(
    [0, 1, 2].map(() => tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })),
  )
  assert.deepEqual(
    heard.map(({ status }) => status),
    [200, 200, 200],
  )
  const { spent } = await books(stage)
  const refilled = ((world.clock.mono() - began) * rushed.pace.minuteNanoUsd) / 60_000
  assert.ok(spent <= rushed.pace.burstNanoUsd + refilled, `${spent} within burst and rate`)
  assert.ok(moved.includes('waiting'))
  const { waitedMs, verdict } = stage.gateway.report(attempt)
  assert.ok(waitedMs > 100 && verdict === null, String(waitedMs))
})

const slow = { pace: { burstNanoUsd: 70 * million, minuteNanoUsd: 60 } }

test('a client that goes away while it waits leaves nothing held, and so does a key that is revoked', async () => {
  await using stage = await setStage(answering(dialect, dear), { limits: slow })
  const first = await stage.enter(dialect)
  const second = await stage.enter(dialect)
  await tell(stage.gateway, { path, headers: { 'x-api-key': first.key }, body })
  const waiting = Promise.withResolvers<void>()
  const both = new Set<string>()
  stage.gateway.onActivity((who, kind) => {
    if (kind === 'waiting' && both.add(who).size === 2) waiting.resolve()
  })
  const leave = new AbortController()
  const gone = tell(stage.gateway, { path, headers: { 'x-api-key': first.key }, body, signal: leave.signal })
  const revoked = tell(stage.gateway, { path, headers: { 'x-api-key': second.key }, body })
  await waiting.promise
  assert.ok(stage.gateway.pacerEmptyMs() >= 0)
  leave.abort()
  await assert.rejects(gone)
  await Promise.all([stage.gateway.revoke(second.attempt), assert.rejects(revoked)])
  await stage.gateway.revoke(first.attempt)
  const { charges, held } = await books(stage)
  assert.deepEqual([charges.length, held, stage.provider.arrived.length], [1, 0, 1])
})

test('a request dearer than the burst can never pass and says so', async () => {
  await using stage = await setStage(answering(dialect, dear), {
    limits: { pace: { burstNanoUsd: million, minuteNanoUsd: 60 } },
  })
  const { key, attempt } = await stage.enter(dialect)
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal(heard.status, 402)
  assert.match(
    heard.body.toString(),
    /BUDGET_EXCEEDED: this request must hold \$0\.0\d+, more than the \$0\.0010 that may/,
  )
  assert.equal(stage.gateway.report(attempt).scope, 'burst')
})

/** Speaks for as long as anyone listens. */
const endless: Script = async (_, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const events = streamOf(dialect, dear, ['x'.repeat(600)]).split(/(?<=\n\n)/)
  const at = events.findIndex((event) => event.includes('xxx'))
  response.write(events.slice(0, at).join(''))
  while (!response.destroyed) {
    response.write(events[at]!)
    await world.timer.sleep(1)
  }
}

test('streams that pass the edge trip the breaker: all of them end, nothing stays held, and nothing is let in until it closes', async () => {
  const pace = { burstNanoUsd: 400 * million, minuteNanoUsd: million }
  await using stage = await setStage(endless, { limits: { pace } })
  const attempts = await Promise.all([0, 1].map(() => stage.enter(dialect)))
  const asked = attempts.map(({ key }) =>
    tell(stage.gateway, { path, headers: { 'x-api-key': key }, body }).catch(() => null),
  )
  await Promise.all(asked)
  await Promise.all(attempts.map(({ attempt }) => stage.gateway.revoke(attempt)))
  const { held, spent } = await books(stage)
  assert.equal(held, 0)
  assert.ok(spent <= pace.burstNanoUsd + 1.5 * pace.minuteNanoUsd, String(spent))
  assert.ok(spent > 0.5 * pace.burstNanoUsd, String(spent))
  const tripped = stage.events.flatMap((event) => (event.type === 'breaker.tripped' ? [event.attempts] : []))
  assert.deepEqual(tripped, [attempts.map(({ attempt }) => attempt)])
  for (const { attempt } of attempts) {
    const { verdict, scope, reason } = stage.gateway.report(attempt)
    assert.deepEqual([verdict, scope], ['over-budget', 'minute'])
    assert.match(reason!, /^the breaker has tripped: \$0\.4\d+ spent and held within 60 seconds/)
  }
  assert.ok((await stage.database.read(readPacing)).breaker)
  const late = await stage.enter(dialect)
  const refused = await tell(stage.gateway, { path, headers: { 'x-api-key': late.key }, body })
  assert.equal(refused.status, 402)
  assert.match(refused.body.toString(), /the breaker has tripped/)
})

test('background work stops at 80 % of a day, and critical work may use the rest', async () => {
  await using stage = await setStage(answering(dialect, { ...dear, output: 50 }), {
    limits: { dayNanoUsd: 70 * million, pace: null },
  })
  const ask = async (lane: 'background' | 'normal' | 'critical') => {
    const { key, attempt } = await stage.enter(dialect, { lane })
    const { status } = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
    return [status, stage.gateway.report(attempt).scope?.slice(0, 4) ?? null]
  }
  assert.deepEqual(await ask('background'), [402, 'day/'])
  assert.deepEqual(await ask('normal'), [200, null])
  assert.equal(stage.provider.arrived.length, 1)
})

test('while a model thinks its attempt waits; a refusal moves nothing', async () => {
  await using stage = await setStage((_, response) => {
    void world.timer.sleep(500).then(() => {
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end('{"error":{"message":"no"}}')
    })
  })
  const { key } = await stage.enter(dialect)
  const moved = new Set<string>()
  stage.gateway.onActivity((_, kind) => void moved.add(kind))
  assert.equal((await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })).status, 400)
  assert.deepEqual([...moved], ['waiting'])
})
