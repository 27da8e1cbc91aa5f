/** A repository may only ask for more than the operator's settings do, never for less. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import {
  builtInProtectedPaths,
  defaultRepositorySettings,
  defaultSettings,
  type RepositorySettings,
} from '../core/setting.ts'
import { tighten } from './config.ts'

const operator = defaultSettings(4)
const repository = (more: Partial<RepositorySettings>): RepositorySettings => ({
  ...defaultRepositorySettings(),
  ...more,
})

test('an attempt to loosen is refused with the key named', () => {
  const gate = { name: 'test', command: 'x', timeoutMs: operator.patience.wallMs + 1, baseline: 'block' as const }
  const loose = [
    repository({ money: { taskNanoUsd: 10_000_000_001 } }),
    repository({ review: { families: 1 } }),
    repository({ review: { person: false } }),
    repository({ gates: [gate] }),
  ].map((each) => (tighten(operator, each) as Refusal).why)
  assert.deepEqual(loose, [
    "tri-agent.yaml: money.task: $10.000000001 is more than the operator's $10",
    'tri-agent.yaml: review.families: 1 is fewer than the 2 that the policy asks',
    'tri-agent.yaml: review.person: false cannot take away a person the policy asks',
    "tri-agent.yaml: gates.test.timeout: is longer than the operator's patience.wall (1d)",
  ])
})

test('what holds for a repository is never looser than the operator, whatever it says', () => {
  const asked = fc.record(
    {
      review: fc.record({ families: fc.integer({ min: 0, max: 5 }), person: fc.boolean() }, { requiredKeys: [] }),
      money: fc.record({ taskNanoUsd: fc.integer({ min: 0, max: 20_000_000_000 }) }),
      protectedPaths: fc.subarray([...builtInProtectedPaths, 'db/**']),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(asked, fc.integer({ min: 0, max: 20_000_000_000 }), (wish, taskNanoUsd) => {
      const held = tighten({ ...operator, money: { ...operator.money, taskNanoUsd } }, repository(wish))
      if (isRefusal(held)) return assert.equal(held.refused, 'config-loosens')
      assert.ok((held.money?.taskNanoUsd ?? Infinity) <= taskNanoUsd)
      assert.ok((held.review?.families ?? 2) >= 2 && held.review?.person !== false)
      assert.ok(builtInProtectedPaths.every((path) => held.protectedPaths.includes(path)))
    }),
  )
})
