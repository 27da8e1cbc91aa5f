import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonSchema } from './config-json.ts'

type Schema = {
  properties: Record<string, Schema>
  additionalProperties: unknown
  anyOf: Schema[]
  items: Schema
  type: unknown
  enum: string[]
}

test('an editor is told every key, what may stand behind it, and that no other key is known', () => {
  const operator = jsonSchema('operator') as unknown as Schema
  const repository = jsonSchema('repository') as unknown as Schema
  assert.deepEqual([operator.additionalProperties, repository.additionalProperties], [false, false])
  assert.deepEqual(Object.keys(repository.properties).slice(0, 6), [
    'base',
    'path',
    'setup',
    'setupKey',
    'toolchain',
    'gates',
  ])
  assert.deepEqual(operator.properties['rung']!.enum, ['cgroup', 'namespace', 'companion', 'subreaper', 'group'])
  assert.deepEqual(operator.properties['money']!.properties['day'], { type: ['string', 'number'] })
})

test('a word may stand for a list of one, one model for all roles, and a credential is what a person writes', () => {
  const operator = jsonSchema('operator') as unknown as Schema
  const repository = jsonSchema('repository') as unknown as Schema
  const [word, list] = repository.properties['setup']!.anyOf
  assert.deepEqual([word, list!.type], [{ type: 'string' }, 'array'])
  const family = (operator.properties['families'] as unknown as { additionalProperties: Schema }).additionalProperties
  assert.deepEqual(
    family.properties['models']!.anyOf.map(({ type }) => type),
    ['string', 'object'],
  )
  const credential = operator.properties['setup']!.properties['credentials']!.items
  assert.deepEqual(Object.keys(credential.properties), ['variable', 'file', 'from', 'repositories', 'whenChanged'])
})
