/** Requests and a provider's limits, through real sockets: in a world whose minutes pass in seconds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hastyWorld } from '../../sim/world.ts'
import { realWorld } from '../host/world.ts'
import { readCoolDowns } from '../store/cool-down.ts'
import { readLog } from '../store/log.ts'
import { answering, books, setStage, tell, type Script, type Stage } from './rehearsal.ts'

const used = { input: 100, cached: 0, output: 20 }
const path = '/v1/messages'
const body = JSON.stringify({
  model: 'claude-opus-5-5',
  max_tokens: 100,
  stream: true,
  messages: [{ role: 'user', content: 'Say tea.' }],
})
const fine = answering('anthropic-messages', used)
const minuteMs = 60_000

/** A provider that answers with a status while `closed`. */
function wall(status: number, headers: Record<string, string> = {}): { script: Script; closed: { is: boolean } } {
  const closed = { is: true }
  const script: Script = (request, response, raw) =>
    closed.is ? void response.writeHead(status, headers).end('{}') : fine(request, response, raw)
  return { script, closed }
}

const haste = (times: number) => {
  const world = hastyWorld(realWorld(), times)
  return { world, over: () => ({ world }) }
}

async function ask(stage: Stage) {
  const { key, attempt } = await stage.enter('anthropic-messages')
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  return { heard, attempt, report: stage.gateway.report(attempt) }
}

test('a request that is told to come back later is asked again in the gateway, and its client sees an answer', async () => {
  for (const [status, headers] of [
    [429, { 'retry-after': '30' }],
    [529, {}],
    [503, {}],
  ] as const) {
    const { script, closed } = wall(status, headers)
    const { over } = haste(100)
    await using stage = await setStage(
      (request, response, raw) => {
        void script(request, response, raw)
        closed.is = false
      },
      { over },
    )
    const { heard, report } = await ask(stage)
    assert.deepEqual([heard.status, report.verdict, stage.provider.arrived.length], [200, null, 2], `${status}`)
    const { charges, held } = await books(stage)
    assert.deepEqual([charges.map(({ how }) => how), held], [['free', 'exact'], 0])
    assert.ok(report.waitedMs > 0)
  }
})

test('into a wall of 15 minutes no request is sent, whoever asks how often; after it everything passes', async () => {
  const { script, closed } = wall(429, { 'retry-after': String(15 * 60) })
  const { world, over } = haste(300)
  await using stage = await setStage(script, { over })
  const end = world.clock.mono() + 15 * minuteMs // the provider begins to count a little later
  const opens = world.timer.sleep(15 * minuteMs).then(() => (closed.is = false))
  const first = await ask(stage)
  assert.deepEqual([first.heard.status, first.report.verdict], [402, 'rate-limited'])
  assert.match(first.report.reason!, /limit is reached/)
  let asked = 0
  for (;;) {
    const { heard } = await ask(stage)
    if (world.clock.mono() >= end) break // however slow the machine is: what it was told after the wall says nothing
    assert.deepEqual([heard.status, stage.provider.arrived.length], [402, 1])
    assert.equal(stage.gateway.closed()[0]?.why, 'exhausted')
    asked += 1
    await world.timer.sleep(minuteMs)
  }
  assert.ok(asked >= 3)
  await opens
  await world.timer.sleep(2 * minuteMs)
  assert.deepEqual([(await ask(stage)).heard.status, stage.gateway.closed()], [200, []])
  const log = await stage.database.read((reader) => readLog(reader, { limit: 100 }))
  assert.deepEqual(
    log.map(({ event }) => event.type),
    ['family.closed', 'family.opened'],
  )
})

test('a storm of 529 costs at most 1.1 requests for each that an agent makes', async () => {
  const { script, closed } = wall(529)
  const { world, over } = haste(40)
  await using stage = await setStage(script, { over })
  const storm = world.timer.sleep(1.5 * minuteMs).then(() => (closed.is = false))
  const all = await Promise.all(Array.from({ length: 50 }, () => ask(stage)))
  await storm
  assert.deepEqual(new Set(all.map(({ heard }) => heard.status)), new Set([200]))
  assert.ok(stage.provider.arrived.length <= 55, `${stage.provider.arrived.length} requests for 50`)
})

test('what closed a model outlives a restart', async () => {
  const { script } = wall(429, { 'retry-after': '1200' })
  await using stage = await setStage(script)
  await ask(stage)
  assert.equal((await stage.database.read(readCoolDowns)).length, 1)
  await stage.restart()
  assert.equal(stage.gateway.closed()[0]?.why, 'exhausted')
  assert.equal((await ask(stage)).heard.status, 402)
  assert.equal(stage.provider.arrived.length, 1)
})

test('a refused key closes its family until the key is another', async () => {
  let realKey = 'sk-old-00000000000000000000'
  const script: Script = (request, response, raw) =>
    request.headers['x-api-key'] === 'sk-new-00000000000000000000'
      ? fine(request, response, raw)
      : void response.writeHead(401).end('{}')
  await using stage = await setStage(script, {
    over: (url) => ({ upstreams: [{ family: 'anthropic', baseUrl: url, key: () => realKey }] }),
  })
  await ask(stage)
  await ask(stage)
  assert.equal(stage.provider.arrived.length, 1)
  assert.deepEqual(
    stage.gateway.closed().map(({ why, until }) => [why, until]),
    [['key', Infinity]],
  )
  realKey = 'sk-new-00000000000000000000'
  assert.equal((await ask(stage)).heard.status, 200)
  assert.deepEqual(stage.gateway.closed(), [])
  const log = await stage.database.read((reader) => readLog(reader, { limit: 100 }))
  assert.deepEqual(
    log.map(({ event }) => [event.type, 'why' in event ? event.why : null]),
    [
      ['family.closed', 'the provider of claude-opus-5-5 does not know the key'],
      ['family.opened', null],
    ],
  )
})

test('a key that its provider does not know yet is made up for by the one before it, and the client sees an answer', async () => {
  const [before, key] = ['sk-old-00000000000000000000', 'sk-new-00000000000000000000']
  const script: Script = (request, response, raw) =>
    request.headers['x-api-key'] === before
      ? fine(request, response, raw)
      : void response.writeHead(401).end(`{"error":{"message":"invalid x-api-key ${key}"}}`)
  await using stage = await setStage(script, {
    over: (url) => ({ upstreams: [{ family: 'anthropic', baseUrl: url, key: () => key, before: () => before }] }),
  })
  const { heard, report } = await ask(stage)
  assert.deepEqual([heard.status, report.verdict, stage.provider.arrived.length], [200, null, 2])
  assert.deepEqual(stage.gateway.closed(), [])
})
