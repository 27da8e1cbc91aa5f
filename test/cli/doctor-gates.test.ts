/** doctor --gates: real gates of a real repository on its base, in the sandbox there is, and what to choose for the red ones. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { after, test } from 'node:test'
import type { Check } from '../../src/core/check.ts'
import { bundle, person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

test('each gate is executed on the committed base, and a red one says what may be chosen for it', async () => {
  await using ada = await person(built.program)
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  await writeFile(ada.paths.configFile, 'rung: group\nhttp: { port: 0 }\n', { mode: 0o600 })
  await ada.write(
    'tri-agent.yaml',
    `gates:
  - { name: green, command: test -f package.json }
  - { name: red, command: "echo old trouble; exit 3" }
  - { name: known, command: exit 1, baseline: allow }
  - { name: never, command: touch /tmp/never, baseline: off }
`,
  )
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
  await ada.type(['init', '--yes'])
  await ada.write('package.json', 'not committed, so not seen')
  const { code, stdout, stderr } = await ada.type(['doctor', '--gates', '--json'])
  const { checks } = JSON.parse(stdout) as { checks: Check[] }
  const gates = checks.filter(({ name }) => name.startsWith('gate '))
  assert.deepEqual(
    gates.map(({ name, state, found }) => [name, state, found.replaceAll(/\d+\.\d s/g, 'N s')]),
    [
      ['gate green', 'ok', 'green on main in N s'],
      ['gate red', 'missing', 'red on main after N s (exit 3): old trouble'],
      ['gate known', 'warning', 'red on main after N s (exit 1); allowed there, so only what is newly red blocks'],
      ['gate never', 'warning', 'off, so it was not executed'],
    ],
  )
  assert.match(gates[1]!.mend!, /baseline: allow .* or {2}baseline: off /)
  assert.equal(code, 1)
  assert.match(stderr, /^gate green: test -f package\.json$/m)
  assert.ok(!stderr.includes('gate never:'))
  assert.deepEqual(
    readdirSync(ada.paths.stateFolder).filter((name) => name.startsWith('doctor-')),
    [],
  )
})
