import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { familyOf } from './family.ts'

test('a family is read off the name of the model, however a provider writes it', () => {
  const names = {
    anthropic: ['claude-opus-4-5', 'CLAUDE-3', 'anthropic/claude-haiku'],
    openai: ['gpt-5.1-codex', 'o3-mini', 'codex-mini', 'chatgpt-4o', 'openai/gpt-oss-120b'],
    google: ['gemini-3-pro', 'models/gemini-2.5-flash', 'gemma-3', 'google/gemini-3'],
  }
  for (const [family, models] of Object.entries(names))
    for (const model of models) assert.equal(familyOf(model), family, model)
})

test('a name that does not tell is no family at all, unless the operator said which', () => {
  for (const model of ['', 'mistral-large', 'my-gpt', 'o', 'notclaude', 'xai/grok'])
    assert.equal(familyOf(model), null, model)
  const others = { 'mistral-large': 'mistral', 'Local-Model': 'home' }
  assert.deepEqual(
    ['mistral-large', 'Local-Model', 'models/mistral-large', 'gpt-5'].map((model) => familyOf(model, others)),
    ['mistral', 'home', 'mistral', 'openai'],
  )
})

test('whatever the name, the answer is a family or null, never something else that happens to have that name', () => {
  const odd = fc.constantFrom('constructor', 'toString', '__proto__', 'hasOwnProperty', 'models/valueOf')
  fc.assert(
    fc.property(fc.oneof(odd, fc.string()), (model) => {
      const family = familyOf(model, { home: 'home' })
      assert.ok(family === null || ['anthropic', 'openai', 'google', 'home'].includes(family), String(family))
    }),
    { seed: 2026 },
  )
})
