import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRefusal } from './refusal.ts'
import { checkWish, type Wish } from './wish.ts'

const mostBytes = 100 * 1024
const check = (wish: Partial<Wish>) => checkWish({ repo: 'repo_1', title: 'Sell tea', ...wish }, mostBytes)
const refused = (wish: Partial<Wish>): [refused: string, hint: string | undefined] => {
  const answer = check(wish)
  return isRefusal(answer) ? [answer.refused, answer.hint] : ['not refused', undefined]
}

test('a title is enough: everything else has a default', () => {
  assert.deepEqual(check({ title: '  Sell tea ' }), {
    repo: 'repo_1',
    title: 'Sell tea',
    text: '',
    kind: 'feature',
    lane: 'normal',
    size: 'small',
    tags: [],
    acceptance: [],
    budgetNanoUsd: null,
    ref: null,
  })
})

test('what was wished is kept as it was said', () => {
  const wish = {
    repo: 'repo_1',
    title: 'Is it safe?',
    text: ' two\nlines ',
    kind: 'review',
    lane: 'background',
    size: 'large',
    tags: ['web', 'family:google'],
    acceptance: ['no finding is left out'],
    budgetNanoUsd: 1,
    ref: 'feature/login',
    path: 'packages/web',
  }
  assert.deepEqual(check({ ...wish, after: ['task_1'] }), wish)
})

test('a word that is not known is refused with the nearest one that is', () => {
  assert.deepEqual(
    [refused({ kind: 'feture' }), refused({ lane: 'Normal' }), refused({ size: 'xl' })],
    [
      [
        'unknown-kind',
        'did you mean "feature"? one of: feature, fix, test, refactor, docs, security, review, architect',
      ],
      ['unknown-lane', 'did you mean "normal"? one of: critical, normal, background'],
      ['unknown-size', 'one of: small, medium, large'],
    ],
  )
})

test('a text is taken whole up to its last byte and refused above, never cut; bytes count, not characters', () => {
  const whole = 'ü'.repeat(mostBytes / 2)
  assert.equal((check({ text: whole }) as { text: string }).text, whole)
  assert.equal(refused({ text: `${whole}.` })[0], 'text-too-large')
})

test('a title is one line of at most 200 characters', () => {
  assert.equal((check({ title: 'x'.repeat(200) }) as { title: string }).title.length, 200)
  assert.deepEqual(
    [{ title: ' \t' }, { title: 'x'.repeat(201) }, { title: 'one\ntwo' }, { title: 'one\rtwo' }].map(
      (wish) => refused(wish)[0],
    ),
    ['no-title', 'long-title', 'long-title', 'long-title'],
  )
})

test('a budget is more than nothing and an exact number', () => {
  assert.deepEqual(
    [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53].map((budgetNanoUsd) => refused({ budgetNanoUsd })[0]),
    Array.from({ length: 6 }, () => 'bad-budget'),
  )
})

test('a review says what to review, and nothing else does', () => {
  assert.deepEqual(
    [refused({ kind: 'review' })[0], refused({ kind: 'fix', ref: 'main' })[0], refused({ ref: 'main' })[0]],
    ['no-ref', 'ref-unused', 'ref-unused'],
  )
})

test('a path is written from the top of the repository, in one way', () => {
  const paths = ['./packages/web//', 'a.ts', '.', './', ' .github ']
  assert.deepEqual(
    paths.map((path) => (check({ path }) as { path?: string }).path),
    ['packages/web', 'a.ts', '.', '.', '.github'],
  )
  const wrong = ['', ' ', '/etc', '../x', 'a/../b', 'a//b', 'a\\b', 'a\nb', './..']
  assert.deepEqual(
    wrong.map((path) => refused({ path })[0]),
    wrong.map(() => 'bad-path'),
  )
})

test('a tag is one short line, and what must be so counts as text', () => {
  for (const tag of ['', 'a\nb', 'a\u001b[31m', 'x'.repeat(201)])
    assert.equal(refused({ tags: ['fine', tag] })[0], 'bad-tag', JSON.stringify(tag))
  assert.equal(refused({ tags: ['family:openai', 'ünï'] })[0], 'not refused')
  assert.equal(refused({ text: 'x'.repeat(60 * 1024), acceptance: ['y'.repeat(60 * 1024)] })[0], 'text-too-large')
})
