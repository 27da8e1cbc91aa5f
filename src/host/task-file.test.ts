import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Refusal } from '../core/refusal.ts'
import { parseTaskFile } from './task-file.ts'

const parse = (text: string) => parseTaskFile(text, { file: 'task.md', taskTextBytes: 102_400 })

const nothing = {
  title: null,
  text: '',
  lane: null,
  size: null,
  kind: null,
  tags: [],
  after: [],
  budgetNanoUsd: null,
  acceptance: [],
  path: null,
}

test('front matter and text become a task', async () => {
  const text = `---
title: Show totals
lane: critical
size: small
kind: fix
tags: [family:openai, ui]
after: task_7k2m9x4q
budget: $2.50
path: packages/web/
accept:
  - the total is shown
  - in cents
---

# Totals

---
The list of orders should end with a total.
`
  const expected = {
    title: 'Show totals',
    text: '# Totals\n\n---\nThe list of orders should end with a total.',
    lane: 'critical',
    size: 'small',
    kind: 'fix',
    tags: ['family:openai', 'ui'],
    after: ['task_7k2m9x4q'],
    budgetNanoUsd: 2_500_000_000,
    acceptance: ['the total is shown', 'in cents'],
    path: 'packages/web',
  }
  assert.deepEqual(await parse(text), expected)
  assert.deepEqual(await parse(`\uFEFF${text.replaceAll('\n', '\r\n')}`), expected)
})

test('what a file does not say stays open, and a heading serves as the title', async () => {
  assert.deepEqual(await parse('just prose'), { ...nothing, text: 'just prose' })
  assert.deepEqual(await parse('---\n---\n'), nothing)
  assert.deepEqual(await parse('intro\n\n# A heading #\nmore'), {
    ...nothing,
    title: 'A heading',
    text: 'intro\n\n# A heading #\nmore',
  })
})

test('a text over the limit is refused, never cut, and one at the limit is whole', async () => {
  const head = '---\ntitle: x\n---\n'
  const fits = 'ü'.repeat(51_200)
  assert.deepEqual(await parse(head + fits), { ...nothing, title: 'x', text: fits })
  assert.deepEqual(await parse(`${head + fits}a`), {
    refused: 'text-too-long',
    why: 'task.md: the text has 102401 bytes, more than the 102400 (100KB) allowed; it is not cut',
    hint: 'shorten it, or split the task',
  })
})

test('a wrong key or word is refused with its line and the nearest right one', async () => {
  const rows = [
    [
      'titel: x',
      'unknown-key',
      'task.md:2: unknown key "titel"',
      'did you mean "title"? one of: title, lane, size, kind, tags, after, budget, accept, path',
    ],
    [
      'title: x\nlane: nromal',
      'unknown-lane',
      'task.md:3: lane "nromal" is not known',
      'did you mean "normal"? one of: critical, normal, background',
    ],
    ['size: big', 'unknown-size', 'task.md:2: size "big" is not known', 'one of: small, medium, large'],
    [
      'kind: feture',
      'unknown-kind',
      'task.md:2: kind "feture" is not known',
      'did you mean "feature"? one of: feature, fix, test, refactor, docs, security, review, architect',
    ],
    [
      'budget: lots',
      'task-file-invalid',
      'task.md:2: budget must be an amount in dollars such as $10 or 10.50',
      undefined,
    ],
    ['tags: [1]', 'task-file-invalid', 'task.md:2: tags must be a text or a list of texts', undefined],
    ['title: [', 'task-file-invalid', 'task.md:3: not valid YAML (BAD_INDENT)', undefined],
    [
      '__proto__: x',
      'unknown-key',
      'task.md:2: unknown key "__proto__"',
      'one of: title, lane, size, kind, tags, after, budget, accept, path',
    ],
  ] as const
  const answers = await Promise.all(rows.map(([front]) => parse(`---\n${front}\n---\ntext`) as Promise<Refusal>))
  assert.deepEqual(
    answers.map(({ refused, why, hint }) => [refused, why, hint]),
    rows.map(([, ...rest]) => rest),
  )
  assert.equal(((await parse('---\ntitle: x\n')) as Refusal).refused, 'task-file-invalid')
})
