/** The benches are no tests, but what is typed to find them is held to its word. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { median, report } from '../bench/measure.ts'
import { searchPath } from '../src/git/fixture.ts'
import { capture } from '../src/host/process.ts'
import { realWorld } from '../src/host/world.ts'

const root = join(import.meta.dirname, '..')
const bench = (...args: string[]) =>
  capture(realWorld().spawn, {
    file: process.execPath,
    args: ['bench/main.ts', ...args],
    cwd: root,
    env: { PATH: searchPath },
  })

test('bench --help lists every bench there is, and nothing is measured', async () => {
  const { code, stdout } = await bench('--help')
  assert.equal(code, 0)
  const listed = [...stdout.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => `${name}.ts`)
  const shared = ['main.ts', 'measure.ts', 'peer.ts', 'rig.ts']
  const files = readdirSync(join(root, 'bench')).filter((name) => !shared.includes(name) && !name.includes('-'))
  assert.deepEqual(listed.toSorted(), files.toSorted())
})

test('an unknown bench is refused with the nearest one', async () => {
  const { code, stdout, stderr } = await bench('latncy')
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /^bench: bench "latncy" is not known\n {2}→ did you mean "latency"\?/)
})

test('a report says met and not met, and ends with one line of JSON', () => {
  const rows = [
    { what: 'quick', unit: 'ms', measured: 10, baseline: 5, target: 10 },
    { what: 'slow', unit: 'ms', measured: 10.5, baseline: 5, target: 10 },
    { what: 'beside', unit: 'MB', measured: 1, baseline: null, target: null },
  ] as const
  const lines = report('cli', rows).trimEnd().split('\n')
  assert.match(lines[1]!, /^quick .* ≤ 10\.00 ms {2}met$/)
  assert.match(lines[2]!, /^slow .* ≤ 10\.00 ms {2}not met$/)
  assert.match(lines[3]!, /^beside +1\.0 MB +- +-$/)
  const { rows: said } = JSON.parse(lines[4]!) as { rows: { met: boolean | null }[] }
  assert.deepEqual(
    said.map(({ met }) => met),
    [true, false, null],
  )
  assert.equal(lines.length, 5)
})

test('a median is the middle one, or between the two in the middle', () => {
  assert.deepEqual([median([3, 1, 2]), median([4, 1, 3, 2])], [2, 2.5])
})
