/** That the simulation fails where it should, and says what to type to see it again. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

type Said = { code: number; said: string }

/** Tells stories in a process of its own, with nothing of this one's environment. */
const torture = (...words: string[]): Promise<Said> =>
  new Promise((resolve) => {
    const main = join(import.meta.dirname, '../sim/main.ts')
    execFile(process.execPath, [main, ...words], { env: {} }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    )
  })

test('a bug is found, made short, and told with what to type to see it again', async () => {
  const words = ['--bug', 'pause-ignored', '--days', '0.5']
  const { code, said } = await torture('--stories', '20', '--jobs', '1', '--shrink', '2', ...words)
  assert.deepEqual([code, /^\d+ passed, 1 failed$/m.test(said)], [1, true], said)
  assert.match(said, /was admitted for task_\w+ while .* is paused/)
  const typed = /npm run torture -- --seed (\d+) --days 0\.5 --only ([\d,]+) --bug pause-ignored/
  const [, seed, only] = typed.exec(said) ?? assert.fail(said)
  const again = await torture('--seed', seed!, '--only', only!, ...words)
  assert.deepEqual([again.code, /is paused/.test(again.said)], [1, true], again.said)
})
