/** The benches are no tests, but what is typed to find them is held to its word. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { median, report } from '../bench/measure.ts'
import { measureGateway } from '../bench/gateway.ts'
import { throughGateway, throughPlainProxy } from '../bench/overshoot.ts'
import { measureQueue } from '../bench/queue.ts'
import { measureRatelimit } from '../bench/ratelimit.ts'
import { searchPath } from '../src/git/fixture.ts'
import { capture } from '../src/host/process.ts'
import { realWorld } from '../src/host/world.ts'

const root = join(import.meta.dirname, '..')
const bench = (...args: string[]) =>
  capture(realWorld().spawn, {
    file: process.execPath,
    args: ['bench/main.ts', ...args],
    cwd: root,
    env: { PATH: searchPath },
  })

test('bench --help lists every bench there is, and nothing is measured', async () => {
  const { code, stdout } = await bench('--help')
  assert.equal(code, 0)
  const listed = [...stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => `${name}.ts`)
  const shared = ['main.ts', 'measure.ts', 'peer.ts', 'rig.ts']
  const files = readdirSync(join(root, 'bench')).filter((name) => !shared.includes(name) && !name.includes('-'))
  assert.deepEqual(listed.toSorted(), files.toSorted())
})

test('an unknown bench is refused with the nearest one', async () => {
  const { code, stdout, stderr } = await bench('latncy')
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /^bench: bench "latncy" is not known\n {2}→ did you mean "latency"\?/)
})

test('a report says met and not met, and ends with one line of JSON', () => {
  const rows = [
    { what: 'quick', unit: 'ms', measured: 10, baseline: 5, target: 10 },
    { what: 'slow', unit: 'ms', measured: 10.5, baseline: 5, target: 10 },
    { what: 'beside', unit: 'MB', measured: 1, baseline: null, target: null },
  ] as const
  const lines = report('cli', rows).trimEnd().split('\n')
  assert.match(lines[1]!, /^quick .* ≤ 10\.00 ms {2}met$/)
  assert.match(lines[2]!, /^slow .* ≤ 10\.00 ms {2}not met$/)
  assert.match(lines[3]!, /^beside +1\.0 MB +- +-$/)
  const { rows: said } = JSON.parse(lines[4]!) as { rows: { met: boolean | null }[] }
  assert.deepEqual(
    said.map(({ met }) => met),
    [true, false, null],
  )
  assert.equal(lines.length, 5)
})

test('a median is the middle one, or between the two in the middle', () => {
  assert.deepEqual([median([3, 1, 2]), median([4, 1, 3, 2])], [2, 2.5])
})

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
    const rows = await measureRatelimit({ minutes: 2, haste: 60, storms: 10 }, () => {})
    assert.equal(rows.length, 6)
    assert.ok(rows.every(({ measured }) => Number.isFinite(measured)))
    const [refused] = rows
    assert.ok(refused!.measured < refused!.baseline!, 'whoever asks by himself is refused more often')
  },
)

test('the bench of the gateway measures it beside the straight way, with few streams as with many', async () => {
  const rows = await measureGateway({ rounds: 1, events: 5, gapMs: 2, streams: [1, 3], peers: false }, () => {})
  assert.equal(rows.length, 6)
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
