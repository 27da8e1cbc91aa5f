import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentEvent } from '../agent/agent.ts'
import { watchCircling } from './circling.ts'

const minute = 60_000
const tool = (detail: string, phase: 'start' | 'end' = 'start', ok = true): AgentEvent => ({
  type: 'tool',
  phase,
  id: '1',
  name: 'Bash',
  kind: 'shell',
  detail,
  ...(phase === 'end' ? { ok } : {}),
})

function scene() {
  const now = { ms: 0, requests: 0, waitedMs: 0, emptyMs: 0 }
  const circling = watchCircling({
    now: () => now.ms,
    report: () => ({ requests: now.requests, waitedMs: now.waitedMs }),
    pacerEmptyMs: () => now.emptyMs,
  })
  const pass = (ms: number, waited = 0) => {
    now.ms += ms
    now.waitedMs += waited
    now.emptyMs += ms
    now.requests += 1
  }
  return { now, circling, pass }
}

test('the same tool with the same outcome, over and over, is waste after ten minutes of an empty pacer', () => {
  const { now, circling, pass } = scene()
  for (let n = 0; n < 11; n++) {
    circling.onAgentEvent(tool(`npm test -- --seed ${n}`))
    circling.onAgentEvent(tool('', 'end', false))
    pass(minute)
  }
  assert.equal(circling.isWaste(), true)
  now.emptyMs = 0
  assert.equal(circling.isWaste(), false, 'nobody waits for its money')
})

test('a new command or a new outcome is progress, and waiting for the pacer is not circling', () => {
  const { circling, pass } = scene()
  for (let n = 0; n < 9; n++) pass(minute)
  circling.onAgentEvent(tool('', 'end', false))
  for (let n = 0; n < 9; n++) pass(minute)
  assert.equal(circling.isWaste(), false)
  circling.onAgentEvent(tool('', 'end', true))
  for (let n = 0; n < 12; n++) pass(minute, 50_000)
  assert.equal(circling.isWaste(), false, 'most of it was waiting')
  for (let n = 0; n < 10; n++) pass(minute)
  assert.equal(circling.isWaste(), true)
})
