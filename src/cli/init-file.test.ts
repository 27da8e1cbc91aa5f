import assert from 'node:assert/strict'
import test from 'node:test'
import { reviewPolicy } from '../core/review.ts'
import { vendors } from '../core/setting.ts'
import { loadPrices } from '../gateway/prices.ts'
import { isRefusal } from '../core/refusal.ts'
import { parseRepositoryConfig } from '../host/config.ts'
import { familiesWithKey, operatorText, pinnedModels, repositoryText, reviewPromise } from './init-file.ts'

test('every vendor has a pinned model and every pinned model has a price, or its first request would be refused', () => {
  assert.deepEqual(Object.keys(pinnedModels), Object.keys(vendors))
  const { models } = loadPrices()
  assert.deepEqual(
    Object.values(pinnedModels).filter((model) => !models.has(model)),
    [],
  )
})

test('a key in a variable is written as such, a stored one is looked for by itself, and a family without a key is left out', () => {
  const families = familiesWithKey([
    { family: 'anthropic', agent: 'claude', key: { env: 'ANTHROPIC_API_KEY' } },
    { family: 'openai', agent: 'codex', key: { stored: 'openai' } },
    { family: 'google', agent: 'gemini', key: null },
  ])
  const text = operatorText(families, { usable: 2, day: '$5' })
  assert.deepEqual(
    [...text.matchAll(/^ {2}(\w+):\n {4}agent: \w+\n(?: {4}keyFrom: (.*)\n)?/gm)].map((match) => [match[1], match[2]]),
    [
      ['anthropic', '{ env: ANTHROPIC_API_KEY }'],
      ['openai', undefined],
    ],
  )
  assert.match(text, /^money: \{ day: \$5, task: \$10 \}$/m)
  assert.match(text, /^# Review: with two usable families, .* a person approves/m)
})

test('the review that is promised is the policy that is kept', () => {
  const vendorsOf = (count: number) => ['a', 'b', 'c', 'd'].slice(0, count)
  for (const count of [1, 2, 3, 4]) {
    const policy = reviewPolicy({ author: 'a', usable: vendorsOf(count), kind: 'fix', protectedPaths: [] })
    const said = reviewPromise(count)
    assert.equal(policy.families.length, Math.min(2, count - 1), said)
    assert.equal(
      /two others|other one|nobody else/.exec(said)?.[0],
      ['nobody else', 'other one', 'two others'][policy.families.length],
    )
    assert.equal(/a person approves/.test(said), policy.person, said)
  }
})

test('whatever a repository calls its commands, the file written for it says exactly that', async () => {
  const commands = [
    'npm run test',
    'yes',
    "echo 'a: b' # c",
    '.venv/bin/python -m pytest',
    'A="$PWD/x" cargo test',
    '- x',
    '"quoted"',
    'true',
    '1e3',
    '*',
  ]
  const gates = commands.map((command, index) => ({ name: `gate ${index}`, command }))
  const read = await parseRepositoryConfig(
    repositoryText({ found: ['x'], setup: commands, setupKey: ['package.json', 'a b: c'], toolchain: ['node'], gates }),
  )
  assert.ok(!isRefusal(read), isRefusal(read) ? read.why : '')
  assert.deepEqual(
    [read.setup, read.setupKey, read.gates.map(({ name, command }) => ({ name, command }))],
    [commands, ['package.json', 'a b: c'], gates],
  )
})
