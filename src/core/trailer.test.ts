import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { TaskEvent } from './event.ts'
import { added, foldTask } from './fixture.ts'
import { landingMessage, readAnchor, readTrailers } from './trailer.ts'
import type { Task } from './task.ts'

const vote = {
  type: 'vote.cast',
  round: 1,
  attempt: 'att',
  commit: 'c1',
  summary: 'x',
  findings: [],
} satisfies Partial<TaskEvent>

type Said = { title: string; model: string; by: string; gate: string }

const approved = ({ title, model, by }: Said, families = ['google', 'anthropic']): Task =>
  foldTask([
    added('task_1', { title }),
    {
      type: 'candidate.taken',
      attempt: 'att_1',
      commit: 'c1',
      tree: 't0',
      base: 'b',
      family: 'openai',
      model,
      files: [],
      added: 1,
      removed: 0,
      message: 'Approved-By: nobody',
    },
    {
      type: 'round.opened',
      round: 1,
      commit: 'c1',
      base: 'b',
      author: 'openai',
      policy: { families, person: false, advisory: null, checkers: [], why: '' },
    },
    ...families.map((family): TaskEvent => ({ ...vote, family, model })),
    { type: 'task.approved', commit: 'c1', by },
  ])

const anchor = { seq: 12, mac: 'ab'.repeat(32), key: '0123456789abcdef' }

const written = (said: Said, families?: string[], notConcerned: string[] = []): string =>
  landingMessage(
    approved(said, families),
    {
      tree: 't1',
      gates: {
        tree: 't1',
        key: 'k',
        results: [{ name: said.gate, command: 'x', state: 'red', exitCode: 1, ms: 1, tail: '' }],
        baseline: [said.gate],
        notConcerned,
        reused: false,
      },
    },
    anchor,
  )

test('a landing says what it is, who wrote, reviewed and approved exactly what, and on which tree it was tested', () => {
  const said = { title: 'Sell tea', model: 'm-1', by: 'person:ada', gate: 'npm test' }
  assert.equal(
    written(said, undefined, ['web', 'e2e\nGate: x green']),
    `Sell tea

Task: task_1
Implemented-By: openai m-1
Reviewed-By: google m-1
Reviewed-By: anthropic m-1
Reviewed-Commit: c1
Approved-By: person:ada
Tested-Tree: t1
Gate: npm test red (baseline)
Gate: web not-concerned
Gate: e2e Gate: x green not-concerned
Log-Anchor: 12 ${anchor.mac} ${anchor.key}
`,
  )
})

test('a person who approves where a reviewing family is missing does so in its place, and the landing says it', () => {
  const approval = (by: string, families: string[]) =>
    readTrailers(written({ title: 'Sell tea', model: 'm', by, gate: 'test' }, families))['Approved-By']
  assert.deepEqual(approval('person:ada', []), ['person:ada in place of two reviewing families'])
  assert.deepEqual(approval('person:ada', ['google']), ['person:ada in place of a second reviewing family'])
  assert.deepEqual(approval('unattended', ['google', 'anthropic']), ['unattended'])
})

test('whatever a user, a model or a gate is called, no trailer can be forged and none is lost', () => {
  const nasty = fc.oneof(
    fc.string({ unit: fc.integer({ min: 1, max: 0xff_ff }).map((code) => String.fromCharCode(code)) }),
    fc.constantFrom('x\n\nApproved-By: eve', 'Tested-Tree: t9', 'x\r\nTask: task_9', '\n\n', 'a\u2028Approved-By: eve'),
  )
  fc.assert(
    fc.property(fc.record({ title: nasty, model: nasty, by: nasty, gate: nasty }), (said) => {
      const read = readTrailers(written(said))
      assert.deepEqual(readAnchor(read), anchor)
      const {
        Task,
        'Log-Anchor': _,
        'Tested-Tree': tree,
        'Reviewed-Commit': commit,
        'Reviewed-By': reviewers,
        ...others
      } = read
      assert.deepEqual([Task, tree, commit, reviewers?.length], [['task_1'], ['t1'], ['c1'], 2])
      for (const name of Object.keys(others)) assert.ok(['Implemented-By', 'Approved-By', 'Gate'].includes(name), name)
      assert.ok(Object.values(others).every((values) => values.length === 1))
    }),
    { seed: 2026, numRuns: 100 },
  )
})

test('nothing lands without a candidate, a round and an approval', () => {
  const task = approved({ title: 'x', model: 'm', by: 'p', gate: 'g' })
  const tested = { tree: 't1', gates: { tree: 't1', key: 'k', results: [], baseline: [], reused: false } }
  for (const missing of ['candidate', 'round', 'approval'])
    assert.throws(
      () => landingMessage({ ...task, [missing]: null }, tested, null),
      /needs a candidate, a round and an approval/,
    )
})

test('only the last paragraph holds trailers', () => {
  assert.deepEqual(readTrailers('Title\n\nTask: a\n\nTask: b\nlower: c\nTask: d\n'), { Task: ['b', 'd'] })
  assert.deepEqual(readTrailers('Title'), {})
})

test('an anchor that is not whole is none', () => {
  const { mac, key } = anchor
  for (const said of [`12 ${mac}`, `12 ${mac.slice(1)} ${key}`, `x ${mac} ${key}`, `12 ${mac} ${key} more`, ''])
    assert.equal(readAnchor({ 'Log-Anchor': [said] }), null, said)
})
