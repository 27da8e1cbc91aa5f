import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GateResult } from './gate.ts'
import { gateUnderWay, tellGate } from './gate-progress.ts'

const result = (name: string, state: GateResult['state'], ms: number): GateResult => ({
  name,
  command: `make ${name}\nmake more`,
  state,
  exitCode: 0,
  ms,
  tail: '',
})
const reports = [[result('a: b', 'red', 5)], [result('lint', 'green', 700), result('a: b', 'green', 119_000)]].map(
  (results) => ({ tree: 't', key: 'k', results, baseline: [], reused: false }),
)
const told = (transcript: string, ms = 40_000) => {
  const progress = gateUnderWay(transcript, reports, ms)
  return progress && tellGate(progress)
}

test('a gate under way is told with how long it took when it was last green', () => {
  assert.equal(
    told(
      '# gate lint: make lint\n1 x\n# gate lint: green\n# gate a: b: make a: b\n# make more\n1 # gate lint: green\n',
    ),
    'gate a: b, 40 s of about 2 min',
  )
  assert.equal(told('# gate lint: make lint\n', 100_000), 'gate lint, 2 min of about 1 s')
})

test('one that is new says for how long alone, and between gates there is none', () => {
  assert.equal(told('# gate e2e: npx e2e\n2 warning\n', 3), 'gate e2e, 1 s')
  for (const transcript of ['', '1 # gate lint: make lint\n', '# gate lint: make lint\n# gate lint: timed-out\n'])
    assert.equal(told(transcript), null)
})
