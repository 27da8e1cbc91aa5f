import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockers, concerned, gateFeedback, gateLine, type Gate, type GateReport, type GateResult } from './gate.ts'

const gates = (baseline: Gate['baseline']): Gate[] => [{ name: 'test', command: 'npm test', timeoutMs: 1, baseline }]
const report = (state: GateResult['state'] | null, baseline: string[] = []): GateReport => ({
  tree: 't',
  key: 'k',
  results:
    state === null ? [] : [{ name: 'test', command: 'npm test', state, exitCode: 7, ms: 1, tail: ' 1 failed \n' }],
  baseline,
  reused: false,
})

test('what blocks: all that is not green, unless it was red before and the repository allows that, or never looks', () => {
  const blocked = (how: Gate['baseline'], state: GateResult['state'] | null, before: string[] = []) =>
    blockers(gates(how), report(state, before)).length > 0
  const states = ['green', 'red', 'timed-out', null] as const
  assert.deepEqual(
    {
      block: states.map((state) => blocked('block', state, ['test'])),
      allowRedBefore: states.map((state) => blocked('allow', state, ['test'])),
      allowGreenBefore: states.map((state) => blocked('allow', state, ['lint'])),
      off: states.map((state) => blocked('off', state)),
    },
    {
      block: [false, true, true, true],
      allowRedBefore: [false, false, false, true],
      allowGreenBefore: [false, true, true, true],
      off: [false, false, false, false],
    },
  )
})

test('an implementer is told the command and the end of what it printed, for each gate in the way and for no other', () => {
  const two: Gate[] = [...gates('block'), { name: 'lint', command: 'npm run lint', timeoutMs: 1, baseline: 'block' }]
  assert.equal(
    gateFeedback(two, report('red')),
    'Gate "test" is red (exit 7).\n$ npm test\n1 failed\n\nGate "lint" gave no result.\n$ npm run lint',
  )
  assert.equal(gateFeedback(gates('block'), report('timed-out')), 'Gate "test" is timed out.\n$ npm test\n1 failed')
  assert.equal(gateFeedback(gates('off'), report('red')), '')
})

const web: Gate = {
  name: 'web',
  command: 'make web',
  timeoutMs: 1,
  baseline: 'block',
  paths: ['packages/web', 'lib/*.ts'],
}

test('a gate is concerned by what lies under its paths, by what set-up reads, and without paths by everything', () => {
  const which = (...changed: string[]) =>
    concerned([...gates('block'), web], changed, ['yarn.lock']).map(({ name }) => name)
  assert.deepEqual(
    [
      ['packages/web/src/a.ts'],
      ['lib/a.ts'],
      ['yarn.lock'],
      ['packages/webx/a.ts', 'lib/x/a.js', 'a/yarn.lock'],
      [],
    ].map((changed) => which(...changed)),
    [['test', 'web'], ['test', 'web'], ['test', 'web'], ['test'], ['test']],
  )
})

test('a gate that was left out does not block, is named, and blocks once it is for every change', () => {
  const left = { ...report('green'), notConcerned: ['web'] }
  const { paths: _, ...always } = web
  assert.deepEqual(blockers([...gates('block'), web], left), [])
  assert.deepEqual(blockers([...gates('block'), always], left), ['web'])
  assert.deepEqual(blockers([web], report('green')), ['web'])
  assert.equal(gateLine(left), 'test green, web not concerned')
})
