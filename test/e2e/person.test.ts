/** What a person decides, and that it acts at once: rounds that end in an escalation, retry, reject, approve, cancel at each stage, hold, release, priority. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import type { GateResult } from '../../src/core/gate.ts'
import { keepGateResult } from '../../src/store/lease.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, rig, survivorsOfAttempts, writing } from './rig.ts'

const attended = { unattended: false }
const hanging = { misbehave: 'hang' } as const

test('rounds are bounded: then a person sees why, with the evidence; retry opens a new series, and its rounds do not collide with the old', async () => {
  const finding = { file: 'coffee.txt', line: 1, severity: 'high', claim: 'The beans are green', proof: null }
  const complain = { summary: 'Not yet.', findings: [finding] }
  await using shop = await rig({
    config: { review: { rounds: 1 } },
    rules: [
      { when: ['# Review', 'roasted'], steps: [{ json: { summary: 'Roasted now.', findings: [] } }] },
      { when: ['# Review'], family: 'google', steps: [{ json: complain }] },
      { when: ['# Cross-check'], steps: [{ json: { verdict: 'confirmed', evidence: 'coffee.txt says green' } }] },
      { ...implementing('Sell coffee', { shell: 'echo green 1 >> coffee.txt' }, { say: 'Done.' }), times: 1 },
      { ...implementing('Sell coffee', { shell: 'echo green 2 >> coffee.txt' }, { say: 'Done.' }), times: 1 },
      implementing('Sell coffee', { shell: 'echo roasted > coffee.txt' }, { say: 'Done.' }),
      approving,
    ],
  })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'escalated')
  const shown = await shop.show(id)
  assert.match(shown, /^escalated: stopped at review: sent back 1 time already, again by review$/m)
  assert.match(shown, /CONFIRMED high coffee\.txt:1 \(google\): The beans are green/)
  assert.match(shown, /confirmed by anthropic: coffee\.txt says green/)
  assert.match(shown, new RegExp(`^Type next\\n {2}tri-agent retry ${id}\\n {2}tri-agent cancel ${id}$`, 'm'))
  assert.equal((await shop.type('retry', id)).code, 0)
  const task = await shop.state(id, 'done', 'escalated')
  assert.equal(task.phase, 'done')
  const rounds = (await shop.events(id)).flatMap((event) => (event.type === 'round.opened' ? [event.round] : []))
  assert.deepEqual(rounds, [1, 2, 3])
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'roasted')
  await endsWell(shop)
})

test('nothing lands before a person approves; a rejection goes to the implementer in their words, and their approval lands', async () => {
  await using shop = await rig({
    config: attended,
    rules: [
      implementing('by the cup', { shell: 'echo cup >> coffee.txt' }, { say: 'By the cup now.' }),
      implementing('Sell coffee', { write: { path: 'coffee.txt', content: 'by the bag\n' } }, { say: 'Done.' }),
      approving,
    ],
  })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'awaiting-approval')
  assert.equal(await shop.git('branch', '--list', 'tri-agent/landing'), '')
  assert.equal((await shop.type('reject', id, '--why', 'sell it by the cup')).code, 0)
  await shop.happened(id, 'verdict.reached', 2)
  const again = await shop.state(id, 'awaiting-approval')
  assert.match(again.candidate!.message, /By the cup now/)
  assert.equal((await shop.type('approve', id)).code, 0)
  await shop.state(id, 'done')
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'by the bag\ncup')
  const message = await shop.git('log', '-1', '--format=%B', 'tri-agent/landing')
  assert.match(message, /^Implemented-By: openai/m)
  assert.match(message, /^Approved-By: person:/m)
  await endsWell(shop)
})

for (const [stage, rules, yaml] of [
  ['plan', [{ when: ['# Plan'], steps: [hanging] }], undefined],
  ['implement', [implementing('Sell coffee', { misbehave: 'double-fork' }, { misbehave: 'ignore-term' })], undefined],
  ['verify', [writing('Sell coffee')], { gates: [{ name: 'test', command: 'echo begun; exec sleep 100' }] }],
  ['review', [writing('Sell coffee'), { when: ['# Review'], steps: [hanging] }], undefined],
] as const)
  test(`a task cancelled in ${stage} ends at once, and nothing of it is left`, async () => {
    await using shop = await rig({ rules, ...(yaml ? { yaml } : {}) })
    const before = { ...yaml?.gates[0], state: 'green', exitCode: 0, ms: 120_000, tail: '' } as GateResult
    const report = { tree: 'other', key: 'k', results: [before], baseline: [], reused: false }
    if (yaml) await shop.ports.database.write((tx) => keepGateResult(tx, report, 1))
    await shop.up()
    const id = await shop.add('Sell coffee', { size: 'medium', ...(stage === 'plan' ? {} : { size: 'small' }) })
    await shop.until(`a process in ${stage}`, async (reader) => {
      const row = await reader.get<{ n: number }>(
        `select count(*) as n from process join attempt on attempt.id = process.attempt where step = :stage`,
        { stage },
      )
      return row!.n > 0
    })
    await shop.until('it to be seen', async () => survivorsOfAttempts(shop).length > 0)
    if (yaml) {
      assert.match((await shop.type('status')).stdout, /Sell coffee: verify, gate test, \d+ s of about 2 min$/m)
      assert.match(await shop.show(id), /^running: verify, gate test, \d+ s of about 2 min$/m)
    }
    assert.equal((await shop.type('cancel', id, '--why', 'no beans')).code, 0)
    await shop.until('every attempt to end', async (reader) => {
      const row = await reader.get<{ n: number }>(`select count(*) as n from lease`)
      return row!.n === 0
    })
    assert.equal((await shop.task(id)).phase, 'cancelled')
    assert.deepEqual(survivorsOfAttempts(shop), [])
    assert.deepEqual(
      readdirSync(shop.paths.areas).filter((name) => name.startsWith('att_')),
      [],
    )
    const ends = (await shop.events(id)).flatMap((event) => (event.type === 'attempt.ended' ? [event.outcome] : []))
    assert.equal(ends.at(-1), 'killed')
    assert.match(await shop.show(id), /^cancelled: no beans$/m)
    await endsWell(shop)
  })

test('a task that waits for approval is cancelled without a trace on any branch', async () => {
  await using shop = await rig({ config: attended, rules: [writing('Sell coffee'), approving] })
  await shop.up()
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'awaiting-approval')
  assert.equal((await shop.type('cancel', id)).code, 0)
  assert.equal((await shop.type('approve', id)).code, 1)
  assert.equal((await shop.task(id)).phase, 'cancelled')
  assert.equal(await shop.git('for-each-ref', '--format=%(refname)'), 'refs/heads/main')
  await endsWell(shop)
})

test('hold keeps a task from starting, release lets it go, and who is put first goes first', async () => {
  await using shop = await rig({
    config: { slots: { implementer: 1, reviewer: 1, architect: 1, gate: 1 } },
    rules: [writing('First wish'), writing('Second wish'), writing('Third wish'), approving],
  })
  const [first, second, third] = [
    await shop.add('First wish'),
    await shop.add('Second wish'),
    await shop.add('Third wish'),
  ] as const
  assert.equal((await shop.type('hold', first, '--why', 'not yet')).code, 0)
  assert.equal((await shop.type('prioritize', third, '--first')).code, 0)
  await shop.up()
  await shop.state(third, 'done')
  await shop.state(second, 'done')
  assert.equal((await shop.task(first)).token, 0)
  assert.match((await shop.type('list')).stdout, /held: not yet/)
  assert.equal((await shop.type('release', first)).code, 0)
  await shop.state(first, 'done')
  const started = await shop.database.read((reader) =>
    reader.all<{ task: string }>(
      `select substr(stream, 6) as task from event where type = 'attempt.admitted' and body ->> '$.step' = 'implement' order by seq`,
    ),
  )
  assert.deepEqual(
    started.map(({ task }) => task),
    [third, second, first],
  )
  await endsWell(shop)
})
