/** Planning, and the kinds that land nothing: what an architect says becomes sub-tasks within limits, or a report, and nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endsWell } from './ending.ts'
import { approving, fine, implementing, rig, writing } from './rig.ts'

const part = (title: string, after: number[] = [], more: object = {}) => ({ title, text: '', after, ...more })
const planning = (title: string, plan: object) => ({
  when: ['# Plan', `Task: ${title}`],
  steps: [{ json: { approach: 'One after the other.', files: [], acceptance: [], subTasks: [], ...plan } }],
})

test("a medium task is planned first: what the architect wrote is in the implementer's and the reviewers' hands", async () => {
  await using shop = await rig({
    rules: [
      planning('Sell coffee', {
        approach: 'Put beans on the shelf.',
        files: ['coffee.txt'],
        acceptance: ['beans are on it'],
      }),
      {
        ...writing('Put beans on the shelf.', 'coffee.txt'),
        when: ['# Implement', 'Put beans on the shelf.', 'beans are on it'],
      },
      { when: ['# Review', 'beans are on it'], steps: [{ json: fine }] },
    ],
  })
  await shop.up()
  const id = await shop.add('Sell coffee', { size: 'medium' })
  const task = await shop.state(id, 'done', 'escalated')
  assert.equal(task.phase, 'done')
  assert.match(
    await shop.show(id),
    /^Plan\n {2}Put beans on the shelf\.\n {2}files: coffee\.txt\n {2}• beans are on it$/m,
  )
  await endsWell(shop)
})

test('a large task is split; its parts keep their order, land one by one, and join to done', async () => {
  await using shop = await rig({
    rules: [
      planning('Sell drinks', {
        subTasks: [part('Sell coffee'), part('Sell cocoa', [0]), part('Sell a menu', [0, 1])],
      }),
      writing('Sell coffee', 'coffee.txt'),
      implementing('Sell cocoa', { shell: 'cat coffee.txt > cocoa.txt' }, { say: 'Done.' }),
      implementing('Sell a menu', { shell: 'cat coffee.txt cocoa.txt > menu.txt' }, { say: 'Done.' }),
      approving,
    ],
  })
  await shop.up()
  const id = await shop.add('Sell drinks', { size: 'large', lane: 'critical', tags: ['drinks'] })
  const task = await shop.state(id, 'done', 'escalated')
  assert.deepEqual([task.phase, task.children.length, task.landed], ['done', 3, null])
  const parts = await Promise.all(task.children.map((child) => shop.task(child)))
  assert.deepEqual(
    parts.map(({ title, lane, tags, parent, root, depth, after }) => [title, lane, tags, parent, root, depth, after]),
    [
      ['Sell coffee', 'critical', ['drinks'], id, id, 1, []],
      ['Sell cocoa', 'critical', ['drinks'], id, id, 1, [task.children[0]]],
      ['Sell a menu', 'critical', ['drinks'], id, id, 1, [task.children[0], task.children[1]]],
    ],
  )
  assert.equal(await shop.git('show', 'tri-agent/landing:menu.txt'), 'Sell coffee\nSell coffee')
  assert.match(await shop.show(id), /all of its parts are done/)
  assert.match(await shop.show(id), /^ {2}task_\w+ {2}Sell a menu \(done\)$/m)
  await endsWell(shop)
})

for (const [what, plan, why] of [
  ['more than eight parts', { subTasks: Array.from({ length: 9 }, (_, n) => part(`Part ${n}`)) }, /subTasks/],
  ['a part that waits for a later one', { subTasks: [part('One', [1]), part('Two')] }, /after/],
  ['a part that is a review of nothing', { subTasks: [part('One', [], { kind: 'review' })] }, /kind/],
  ['no approach', { approach: '' }, /approach/],
] as const)
  test(`a plan with ${what} is no plan: nothing of it is begun`, async () => {
    await using shop = await rig({
      config: { retry: { attempts: 1, first: '20ms', cap: '40ms' } },
      rules: [planning('Sell drinks', plan), approving],
    })
    await shop.up()
    const id = await shop.add('Sell drinks', { size: 'large' })
    const task = await shop.state(id, 'done', 'escalated', 'split')
    assert.deepEqual([task.phase, task.children, task.plan], ['escalated', [], null])
    const ended = (await shop.events(id)).find((event) => event.type === 'attempt.ended')
    assert.equal(ended?.outcome, 'unreadable')
    assert.match(ended.reason, why)
    await endsWell(shop)
  })

test('parts of parts are the deepest: a third level is refused', async () => {
  await using shop = await rig({
    config: { retry: { attempts: 1, first: '20ms', cap: '40ms' } },
    rules: [
      planning('Level zero', { subTasks: [part('Level one', [], { size: 'large' })] }),
      planning('Level one', { subTasks: [part('Level two', [], { size: 'large' })] }),
      planning('Level two', { subTasks: [part('Level three')] }),
      approving,
    ],
  })
  await shop.up()
  await shop.add('Level zero', { size: 'large' })
  const deepest = await shop.until('level two to stop', async (reader) => {
    const row = await reader.get<{ id: string }>(
      "select id from task where title = 'Level two' and state = 'escalated'",
    )
    return row?.id
  })
  assert.match(await shop.show(deepest), /may not be split any further/)
  await endsWell(shop)
})

test('a root has at most forty open parts', async () => {
  const eight = (level: string, size: string) =>
    Array.from({ length: 8 }, (_, n) => part(`${level} ${n}`, [], { size }))
  await using shop = await rig({
    config: {
      retry: { attempts: 1, first: '20ms', cap: '40ms' },
      slots: { implementer: 1, reviewer: 1, architect: 8, gate: 1 },
    },
    rules: [
      planning('Root', { subTasks: eight('Branch', 'large') }),
      planning('Branch', { subTasks: eight('Leaf', 'small') }),
      { when: ['# Implement'], steps: [{ misbehave: 'hang' }] },
    ],
  })
  await shop.up()
  await shop.add('Root', { size: 'large' })
  const stopped = await shop.until('all branches to be planned or stopped', async (reader) => {
    const rows = await reader.all<{ state: string }>("select state from task where title like 'Branch %'")
    const over = rows.filter(({ state }) => state === 'split' || state === 'escalated')
    return rows.length === 8 && over.length === 8 ? over.filter(({ state }) => state === 'escalated').length : null
  })
  const { n } = (await shop.database.read((reader) =>
    reader.get<{ n: number }>(
      "select count(*) as n from task where parent is not null and state not in ('done', 'cancelled')",
    ),
  ))!
  assert.ok(n <= 40, `${n} are open`)
  assert.equal(stopped, 4)
  await endsWell(shop)
})

test("an architect's task ends in a report and changes nothing", async () => {
  await using shop = await rig({
    rules: [
      planning('How to sell coffee', { approach: 'Buy beans.', files: ['coffee.txt'], subTasks: [part('Buy beans')] }),
    ],
  })
  await shop.up()
  const id = await shop.add('How to sell coffee', { kind: 'architect' })
  const task = await shop.state(id, 'done', 'escalated')
  assert.deepEqual([task.phase, task.landed, task.children], ['done', null, []])
  assert.match(await shop.show(id), /^Report\n {2}# How to sell coffee\n\n? {0,2}\n? {2}Buy beans\./m)
  assert.equal(await shop.git('for-each-ref', '--format=%(refname)'), 'refs/heads/main')
  await endsWell(shop)
})

test('a review of a branch says what families found and what the gates said, and lands nothing, red or not', async () => {
  await using shop = await rig({
    rules: [
      {
        when: ['# Review'],
        family: 'openai',
        steps: [{ json: { summary: 'It is broken on purpose.', findings: [] } }],
      },
      approving,
    ],
  })
  await shop.git('switch', '--quiet', '--create', 'idea')
  await shop.write('broken.txt', 'an idea\n')
  await shop.git('add', '--all')
  await shop.git('commit', '--quiet', '--message', 'Have an idea')
  await shop.git('switch', '--quiet', 'main')
  const before = await shop.git('for-each-ref', '--format=%(refname) %(objectname)')
  await shop.up()
  const typed = await shop.type('add', 'Is the idea any good?', '--kind', 'review', '--ref', 'idea')
  assert.equal(typed.code, 0, typed.stderr)
  const id = /task_\w+/.exec(typed.stdout)![0]
  const task = await shop.state(id, 'done', 'escalated')
  assert.deepEqual([task.phase, task.landed], ['done', null])
  assert.match(task.report!, /Gates: test red/)
  assert.match(task.report!, /## openai \(gpt-6-sol\)\n\nIt is broken on purpose\./)
  assert.equal(await shop.git('for-each-ref', '--format=%(refname) %(objectname)'), before)
  const none = await shop.add('Is nothing any good?', { kind: 'review', ref: 'no-such-branch' })
  assert.match((await shop.state(none, 'escalated')).evidence!, /no-such-branch/)
  await endsWell(shop)
})
