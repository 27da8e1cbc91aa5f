import assert from 'node:assert/strict'
import test from 'node:test'
import { vendors } from '../core/setting.ts'
import { loadPrices } from '../gateway/prices.ts'
import { isRefusal } from '../core/refusal.ts'
import { parseRepositoryConfig } from '../host/config.ts'
import { familiesWithKey, pinnedModels, repositoryText } from './init-file.ts'

test('every vendor has a pinned model and every pinned model has a price, or its first request would be refused', () => {
  assert.deepEqual(Object.keys(pinnedModels), Object.keys(vendors))
  const { models } = loadPrices()
  assert.deepEqual(
    Object.values(pinnedModels).filter((model) => !models.has(model)),
    [],
  )
})

test('a family is taken by whichever of its key variables is set, and an empty one is not set', () => {
  const env = { GEMINI_API_KEY: 'k', OPENAI_API_KEY: '' }
  assert.deepEqual(
    familiesWithKey(env).map(({ family, variable }) => [family, variable]),
    [['google', 'GEMINI_API_KEY']],
  )
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
