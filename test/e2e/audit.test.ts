/** audit, as it is typed on one's own machine: everything it tries is held on the rung that `up` would use, and it says of each group how much. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundle, person } from '../cli-rig.ts'

test('audit attacks the sandbox of this machine and prints what held, group by group', async () => {
  await using built = await bundle()
  await using ada = await person(built.program)
  await ada.type(['init', '--yes'])
  const { code, stdout, stderr } = await ada.type(['audit', '--json'])
  const told = JSON.parse(stdout) as { rung: string; verdicts: { name: string; state: string }[] }
  const tried = told.verdicts.filter(({ state }) => state !== 'absent')
  assert.deepEqual([code, tried.filter(({ state }) => state !== 'held')], [0, []], `${told.rung}: ${stdout}${stderr}`)
  assert.ok(tried.length > 60, `${tried.length} attacks`)
})
