import assert from 'node:assert/strict'
import { test } from 'node:test'
import { refusePlatform } from './platform.ts'

test('Windows is told of WSL2, and nobody else is refused', () => {
  const refused = refusePlatform('win32')
  assert.deepEqual([refused?.refused, /WSL2/.test(refused?.hint ?? '')], ['windows', true])
  assert.deepEqual(['linux', 'darwin', 'freebsd'].map(refusePlatform), [null, null, null])
})
