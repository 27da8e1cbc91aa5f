import assert from 'node:assert/strict'
import { test } from 'node:test'
import { outsideOf } from './task-path.ts'

test('outside of a path is what neither is it nor lies below it, whatever the name is made of', () => {
  const files = [
    'web',
    'web/a.ts',
    'webx/a.ts',
    'Web/a.ts',
    'a/web/b.ts',
    String.raw`"web/\351"`,
    String.raw`"api/\351"`,
  ]
  assert.deepEqual(outsideOf('web', files), ['webx/a.ts', 'Web/a.ts', 'a/web/b.ts', String.raw`"api/\351"`])
  assert.deepEqual(outsideOf('.', files), [])
})
