/** chaos, as it is typed on one's own machine: a few blows, what they came to, nothing of the user's touched; and what it refuses. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { bundle, person } from '../cli-rig.ts'

// What a provider failed thrice is left alone for a minute; the usual limit is two.
test(
  'chaos kills a scratch copy of it all and says what it dealt and that nothing was lost',
  { timeout: 300_000 },
  async () => {
    await using built = await bundle()
    await using ada = await person(built.program)
    const { code, stdout, stderr } = await ada.type(['chaos', '--kills', '3', '--seed', '7', '--json'])
    assert.equal(code, 0, stdout + stderr)
    const told = JSON.parse(stdout) as Record<string, unknown>
    const { chaos, seed, kills, floor, found, faults, kept } = told
    assert.deepEqual(
      { chaos, seed, kills, floor, faults, kept },
      { chaos: 'held', seed: 7, kills: 3, floor: 3, faults: {}, kept: null },
    )
    assert.equal(Object.keys(found as object).length, 12)
    const { acknowledged, done } = told['tasks'] as { acknowledged: number; done: number }
    assert.ok(acknowledged > 0 && done === acknowledged, `${done} of ${acknowledged}`)
    assert.ok(!existsSync(ada.paths.database), 'nothing of the user was touched')
  },
)

test('chaos refuses what is no count, and says what one looks like', async () => {
  await using built = await bundle()
  await using ada = await person(built.program)
  for (const option of ['--kills', '--seed']) {
    const { code, stderr } = await ada.type(['chaos', option, 'many'])
    assert.deepEqual(
      [code, stderr],
      [1, `tri-agent: ${option} takes a whole number, not "many"\n  → tri-agent chaos ${option} 20\n`],
    )
  }
})
