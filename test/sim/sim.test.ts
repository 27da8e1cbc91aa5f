/** That the simulation is one: the same seed is the same story, told by another process too. That it fails where it should: test/e2e/sim-bug.test.ts. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

type Said = { code: number; said: string }

/** Tells stories in a process of its own, with nothing of this one's environment. */
const torture = (...words: string[]): Promise<Said> =>
  new Promise((resolve) => {
    const main = join(import.meta.dirname, 'main.ts')
    execFile(process.execPath, [main, ...words], { env: {} }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    )
  })

const logOf = ({ said }: Said): string => /; log ([0-9a-f]{16})/.exec(said)?.[1] ?? assert.fail(said)

test('whatever goes wrong, nothing happens that must not, and in the end everything ends', async () => {
  const words = ['--stories', '1', '--days', '0.3', '--jobs', '1']
  const told = await torture(...words)
  assert.deepEqual([told.code, /^1 passed, 0 failed$/m.test(told.said)], [0, true], told.said)
  assert.match(told.said, /[1-9]\d* landings, [1-9]\d* deaths/)
  assert.equal(logOf(await torture(...words)), logOf(told), 'the same seed, told by another process')
})
