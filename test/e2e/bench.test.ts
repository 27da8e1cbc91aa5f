/** The benches that start no daemon, with as little as they can measure: each of their figures is one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measureGateway } from '../../bench/gateway.ts'
import { killAll } from '../../bench/overshoot-kill.ts'
import { throughGateway, throughPlainProxy } from '../../bench/overshoot.ts'
import { measureQueue } from '../../bench/queue.ts'
import { measureRatelimit } from '../../bench/ratelimit.ts'
import { measureSandbox } from '../../bench/sandbox.ts'

test('the bench of the queue measures everything it names, of little as of much', { timeout: 120_000 }, async () => {
  const counts = { rounds: 2, tasks: 64, long: 200, claims: 9, pickups: 5, kills: 1 }
  const peer = { name: 'a peer', added: [] as number[], drained: [] as number[] }
  const open = async () => ({
    round: async (jobs: number) => {
      peer.added.push(jobs)
      peer.drained.push(jobs)
    },
    measured: () => [peer],
    [Symbol.asyncDispose]: async () => {},
  })
  const rows = await measureQueue(counts, open, () => {})
  assert.deepEqual(
    rows.filter(({ measured, baseline, target }) => ![measured, baseline ?? 1, target ?? 1].every((each) => each > 0)),
    [],
  )
  assert.deepEqual(
    rows.map(({ what }) => what),
    [
      'bare fdatasync of 4 KB',
      'enqueue, durable, 64 callers',
      'claim + finish, durable, 64 loops',
      '  times a peer, round by round',
      'claim + finish, durable, 3 loops',
      '  if a commit took no more than a bare sync',
      '  in memory, not durable: enqueue',
      '  in memory, not durable: claim + finish, 64 loops',
      '  a peer: enqueue',
      '  a peer: claim + finish',
      'event loop late at full drain, p99.9',
      'pickup in process, p50',
      'pickup in process, p99',
      'pickup from another process, p50',
      'pickup from another process, p99',
      'claim p50 at 200 queued',
      'backup of 200 tasks',
      'kill -9 of the daemon to /readyz, slowest',
      'rebuild --verify, events',
      'log verify, events',
    ],
  )
  assert.deepEqual(peer.drained, [64, 64], 'a round of theirs for each of ours')
})

test(
  'the bench of rate limits measures each of its ways, for two minutes as for many',
  { timeout: 120_000 },
  async () => {
    const rows = await measureRatelimit({ minutes: 2, haste: 150, storms: 10 }, () => {})
    assert.equal(rows.length, 6)
    assert.ok(rows.every(({ measured }) => Number.isFinite(measured)))
    const [refused] = rows
    assert.ok(refused!.measured < refused!.baseline!, 'whoever asks by himself is refused more often')
  },
)

test('the bench of the gateway measures it beside the straight way, with few streams as with many', async () => {
  const rows = await measureGateway(
    { warmUps: 1, rounds: 1, firsts: 1, events: 5, gapMs: 2, streams: [1, 3], peers: false },
    () => {},
  )
  assert.equal(rows.length, 15)
  assert.ok(rows.every(({ measured }) => Number.isFinite(measured)))
})

test('the bench of overshoot: streams before a billing provider stay within their budget through the gateway, and nowhere else', async () => {
  const asked = { streams: 3, limitNanoUsd: 150_000_000, lagMs: 300, tokensPerStream: 2500 }
  const [ours, postHoc, worst] = await Promise.all([
    throughGateway(asked),
    throughPlainProxy(asked, 0),
    throughPlainProxy(asked, 2_560_000_000),
  ])
  assert.ok(ours.bill <= asked.limitNanoUsd && ours.bill > asked.limitNanoUsd / 2, String(ours.bill))
  assert.ok(ours.ledger! >= ours.bill && ours.ledger! <= asked.limitNanoUsd, `ledger ${ours.ledger}, bill ${ours.bill}`)
  assert.equal(ours.broken, 0)
  assert.ok(ours.atFirstRefusal! > asked.limitNanoUsd / 2)
  assert.ok(postHoc.bill > asked.limitNanoUsd, String(postHoc.bill))
  assert.deepEqual([worst.admitted, worst.bill], [0, 0])
})

test('the bench of a kill: when the breaker trips, the last byte of every stream comes soon, and nothing is let in', async () => {
  const { clientMs, providerMs, letIn } = await killAll(3)
  assert.equal(letIn, 0)
  assert.ok(clientMs < 2000 && providerMs < 2000, `${clientMs} ms, ${providerMs} ms`)
})

test('the bench of the sandbox measures a start, cold and warm, and a kill that leaves nothing, of few files as of many', async () => {
  const rows = await measureSandbox({ files: [3], layerFiles: 5, layers: [3], rounds: 2, kills: 2 }, () => {})
  assert.equal(rows.length, 11)
  assert.ok(rows.every(({ measured }) => Number.isFinite(measured)))
  assert.deepEqual([rows.at(-1)!.what.trim(), rows.at(-1)!.measured], ['processes left', 0])
  assert.ok(rows[2]!.measured > rows[3]!.measured, 'a clone that was made ahead is taken sooner than one is made')
})
