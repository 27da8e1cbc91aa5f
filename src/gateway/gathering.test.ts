import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate } from 'node:timers'
import { gathering } from './gathering.ts'

test('requests of several connections that come in one turn of the event loop are in one commit', async () => {
  const together = gathering()
  const seen: string[] = []
  const come = (name: string) =>
    new Promise<void>((resolve) =>
      setImmediate(() => {
        seen.push(`${name} comes`)
        void together().then(() => {
          seen.push(`${name} writes`)
          process.nextTick(() => resolve(void (seen.at(-1) !== 'commit' && seen.push('commit')))) // as the database begins one
        })
      }),
    )
  await Promise.all([come('a'), come('b')])
  assert.deepEqual(seen, ['a comes', 'b comes', 'a writes', 'b writes', 'commit'])
  await come('c')
  assert.deepEqual(seen.slice(5), ['c comes', 'c writes', 'commit'])
})
