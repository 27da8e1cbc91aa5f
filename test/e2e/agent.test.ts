/** Agents that lie, break, flood or never end: each gets the outcome that fits, with evidence a person can read, and nothing of it is left. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { join } from 'node:path'
import { writeFile } from 'node:fs/promises'
import type { Event } from '../../src/core/event.ts'
import { endsWell } from './ending.ts'
import { approving, implementing, readText, rig, writing, type Made, type Rig } from './rig.ts'

/** One attempt and no more: the first failure is the last. */
const once = { retry: { attempts: 1, first: '20ms', cap: '40ms' } }
const impatient = { patience: { small: '3s', grace: 1 }, lease: { beat: '100ms', lease: '10s' } }

const endsOf = (events: readonly Event[]) =>
  events.flatMap((event) => (event.type === 'attempt.ended' ? [{ outcome: event.outcome, reason: event.reason }] : []))

/** Has one task done until it stands still, and tells how. */
async function play(made: Partial<Made>, title = 'Sell coffee') {
  const shop = await rig({ rules: [approving], config: once, ...made })
  try {
    await shop.up()
    const id = await shop.add(title)
    const task = await shop.state(id, 'done', 'escalated', 'awaiting-approval')
    return { shop, id, task, ends: endsOf(await shop.events(id)), shown: await shop.show(id) }
  } catch (error) {
    await shop[Symbol.asyncDispose]()
    throw error
  }
}

async function landed(shop: Rig): Promise<string> {
  return shop.git('for-each-ref', '--format=%(refname)', 'refs/heads/tri-agent')
}

test('done is not done: an agent that claims a commit and made none ends as no-change, in its own words', async () => {
  const { shop, task, ends, shown } = await play({ rules: [implementing('Sell coffee', { misbehave: 'claim-done' })] })
  await using _ = shop
  assert.equal(task.phase, 'escalated')
  assert.deepEqual(ends, [{ outcome: 'no-change', reason: 'Done. Everything is implemented and committed.' }])
  assert.match(shown, /^escalated: stopped at implement: no-change$/m)
  assert.match(shown, /^Evidence\n {2}Done\. Everything is implemented and committed\.$/m)
  assert.equal(await landed(shop), '')
  await endsWell(shop)
})

test('writing what is there already is no change either', async () => {
  const same = { write: { path: 'README.md', content: '# Shop\n\nSells tea.\n', over: true } }
  const { shop, task, ends } = await play({
    rules: [implementing('Sell coffee', same, { say: 'It sells tea already.' })],
  })
  await using _ = shop
  assert.equal(task.phase, 'escalated')
  assert.deepEqual(ends, [{ outcome: 'no-change', reason: 'It sells tea already.' }])
  await endsWell(shop)
})

test('tests that are said to pass are executed: red ones send it back with what they printed, and the next round lands', async () => {
  const { shop, id, task } = await play({
    rules: [
      implementing(
        'broken.txt says: half a cup',
        { shell: 'rm broken.txt && echo beans > coffee.txt' },
        { say: 'Mended.' },
      ),
      implementing(
        'Sell coffee',
        { write: { path: 'broken.txt', content: 'half a cup\n' } },
        { misbehave: 'lie-tests' },
      ),
      approving,
    ],
  })
  await using _ = shop
  assert.equal(task.phase, 'done')
  const returned = (await shop.events(id)).filter((event) => event.type === 'task.returned')
  assert.deepEqual(returned, [
    {
      type: 'task.returned',
      from: 'verify',
      feedback: 'Gate "test" is red (exit 1).\n$ sh test.sh\nbroken.txt says: half a cup',
      rebase: false,
    },
  ])
  assert.equal(await shop.git('show', 'tri-agent/landing:coffee.txt'), 'beans')
  await endsWell(shop)
})

test('who is told that it is wrong and changes nothing gets no second look: no-change, with the evidence', async () => {
  const { shop, task, ends } = await play({
    rules: [
      implementing('broken.txt says', { say: 'It is right as it is.' }),
      implementing('Sell coffee', { write: { path: 'broken.txt', content: 'x' } }, { say: 'Done.' }),
    ],
  })
  await using _ = shop
  assert.equal(task.phase, 'escalated')
  assert.deepEqual(ends.at(-1), { outcome: 'no-change', reason: 'It is right as it is.' })
  assert.equal(ends.length, 3)
  await endsWell(shop)
})

test('an implementer that prints garbage and a last word of nothing made nothing', async () => {
  const { shop, task, ends } = await play({
    rules: [
      implementing('Sell coffee', { write: { path: 'coffee.txt', content: 'x' } }, { misbehave: 'garbage' }),
      approving,
    ],
  })
  await using _ = shop
  assert.deepEqual([task.phase, task.candidate], ['escalated', null])
  assert.deepEqual(ends, [{ outcome: 'unreadable', reason: 'ended without a last word' }])
  await endsWell(shop)
})

for (const [what, steps] of [
  ['garbage', [{ misbehave: 'garbage' }]],
  ['praise without the asked form', [{ say: 'LGTM! Approved, no findings.' }]],
  ['an approval of another form', [{ json: { verdict: 'approved' } }]],
  ['a broken fence', [{ say: '```json\n{"summary":"fine","findings":[\n```' }]],
] as const)
  test(`a reviewer that answers with ${what} has approved nothing`, async () => {
    const { shop, id, task, shown } = await play({
      rules: [writing('Sell coffee'), { when: ['# Review'], family: 'google', steps }, approving],
    })
    await using _ = shop
    assert.equal(task.phase, 'escalated')
    assert.deepEqual(
      task.round?.votes.filter(({ family }) => family === 'google'),
      [],
    )
    assert.match(shown, /^escalated: stopped at review: unreadable, 1 attempt$/m)
    assert.match(shown, /still asked: .*google/)
    assert.equal(
      (await shop.events(id)).some((event) => event.type === 'verdict.reached'),
      false,
    )
    assert.equal(await landed(shop), '')
    await endsWell(shop)
  })

test('a flood is cut off: the attempt fails as what it is', async () => {
  const { shop, task, ends } = await play({
    config: { ...once, sizes: { output: '4MB' } },
    rules: [implementing('Sell coffee', { misbehave: 'flood' })],
  })
  await using _ = shop
  assert.equal(task.phase, 'escalated')
  assert.deepEqual(ends, [{ outcome: 'failed', reason: 'a flood: it printed more than 4194304 bytes' }])
  await endsWell(shop)
})

test('an agent that never ends is ended after its silence window, and tried again before a person is asked', async () => {
  const { shop, task, ends, shown } = await play({
    config: { ...impatient, retry: { attempts: 2, first: '20ms', cap: '40ms' } },
    rules: [implementing('Sell coffee', { misbehave: 'hang' })],
  })
  await using _ = shop
  assert.equal(task.phase, 'escalated')
  assert.deepEqual(
    ends.map(({ outcome }) => outcome),
    ['stalled', 'stalled'],
  )
  assert.match(shown, /^escalated: stopped at implement: stalled, 2 attempts$/m)
  await endsWell(shop)
})

test('an agent that ignores every polite signal is killed, whole', async () => {
  const { shop, id, ends } = await play({
    config: { ...once, ...impatient },
    rules: [implementing('Sell coffee', { misbehave: 'double-fork' }, { misbehave: 'ignore-term' })],
  })
  await using _ = shop
  assert.equal(ends[0]?.outcome, 'stalled')
  const ended = (await shop.events(id)).find((event) => event.type === 'attempt.ended')
  assert.equal(ended?.killed?.survivors, 0)
  await endsWell(shop)
})

test('what an agent leaves behind in a session of its own dies with it, and its work lands', async () => {
  const { shop, id, task } = await play({
    rules: [
      implementing(
        'Sell coffee',
        { misbehave: 'double-fork' },
        { write: { path: 'coffee.txt', content: 'x' } },
        { misbehave: 'noise' },
        { say: 'Done.' },
      ),
      approving,
    ],
  })
  await using _ = shop
  assert.equal(task.phase, 'done')
  for (const event of await shop.events(id))
    if (event.type === 'attempt.ended' && event.killed) assert.equal(event.killed.survivors, 0)
  await endsWell(shop)
})

test('an agent that crashes is tried again, and the second attempt lands', async () => {
  const { shop, task, ends } = await play({
    config: {},
    rules: [{ ...implementing('Sell coffee', { misbehave: 'crash' }), times: 1 }, writing('Sell coffee'), approving],
  })
  await using _ = shop
  assert.equal(task.phase, 'done')
  assert.equal(ends[0]?.outcome, 'crashed')
  await endsWell(shop)
})

test("work that no model was asked for is nobody's work", async () => {
  await using shop = await rig({ rules: [approving], config: once })
  const lazy = join(shop.home, 'lazy.mjs')
  await writeFile(
    lazy,
    `import { writeFileSync } from 'node:fs'
     writeFileSync('coffee.txt', 'made up')
     console.log(JSON.stringify({ type: 'final', ok: true, text: 'Done.' }))\n`,
  )
  const config = JSON.parse(await readText(shop.paths.configFile)) as {
    families: Record<string, { program: string[] }>
  }
  for (const family of Object.values(config.families)) family.program = ['node', lazy]
  await writeFile(shop.paths.configFile, JSON.stringify(config))
  await shop.up()
  const id = await shop.add('Sell coffee')
  const task = await shop.state(id, 'done', 'escalated')
  assert.deepEqual([task.phase, task.candidate], ['escalated', null])
  assert.deepEqual(endsOf(await shop.events(id)), [
    { outcome: 'unreadable', reason: 'the agent answered without asking any model' },
  ])
  await endsWell(shop)
})

test('a defect of ours that has the key of its attempt in its words: neither the attempt nor the log shows it', async () => {
  await using shop = await rig({ rules: [writing('Sell coffee'), approving], config: once })
  const { daemon } = await shop.up()
  const { stagePorts } = daemon
  let key = ''
  stagePorts.git = {
    ...stagePorts.git,
    intake: async () => {
      key = [...daemon.keys.values()].join()
      throw new Error(`nobody knows ${key}`)
    },
  }
  const id = await shop.add('Sell coffee')
  await shop.state(id, 'escalated')
  assert.match(key, /^\S{16,}$/)
  const [end] = endsOf(await shop.events(id))
  assert.deepEqual(end, { outcome: 'crashed', reason: 'a defect of tri-agent: nobody knows [redacted]' })
  const { stdout } = await shop.type('log', '--json')
  assert.match(stdout, /worker implement/)
  assert.ok(!stdout.includes(key), 'the log shows it')
  assert.equal(daemon.keys.size, 0, 'it is forgotten with its attempt')
  await endsWell(shop, 'worker implement')
})
