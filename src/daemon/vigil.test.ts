/** Who is silent and who is not, on a virtual clock: the slow cases that were seen, none of which is ended, and those that do nothing, each of which is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import type { AgentEvent } from '../agent/agent.ts'
import { added, foldTask } from '../core/fixture.ts'
import { defaultSettings } from '../core/setting.ts'
import type { Carried } from '../engine/engine.ts'
import type { Daemon } from './daemon.ts'
import { keepVigil } from './vigil.ts'

const minute = 60_000
/** numbers.md: a small task may be silent for 5 minutes, and half as long again. */
const windowMs = 7.5 * minute

function watched() {
  const world = virtualWorld()
  const revoked: string[] = []
  const used = { cpuMs: 0 }
  let hear: (attempt: string, kind: 'bytes' | 'waiting') => void = () => {}
  const daemon = {
    world,
    settings: defaultSettings(2),
    absence: { lostMs: () => 0, look: async () => {} },
    engine: { revoke: (_: string, why: string) => revoked.push(why) },
    gateway: {
      onActivity(listener: typeof hear) {
        hear = listener
        return () => {}
      },
      report: () => ({ requests: 0, waitedMs: 0 }),
      pacerEmptyMs: () => 0,
    },
    failed: async (_: string, error: unknown) => assert.ifError(error),
  } as unknown as Daemon
  const carried = { attempt: 'att_1', beat: async () => true } as unknown as Carried
  const task = foldTask([added('task_1', { size: 'small' })])
  const vigil = keepVigil(daemon, carried, task, 'implementer', () => used.cpuMs)
  return {
    revoked,
    used,
    event: vigil.onAgentEvent,
    gateway: (kind: 'bytes' | 'waiting') => hear('att_1', kind),
    /** Lets time pass, doing the same every second. */
    async pass(ms: number, each: () => void = () => {}) {
      for (let at = 0; at < ms; at += 1000) {
        await world.advance(1000)
        each()
      }
    },
    end: vigil.end,
  }
}

const retry: AgentEvent = { type: 'retry', attempt: 1, status: 529, delayMs: 1000, reason: 'overloaded' }
const tool: AgentEvent = { type: 'tool', phase: 'start', id: '1', name: 'Bash', kind: 'shell' }

type Watched = ReturnType<typeof watched>
const slow: Record<string, (my: Watched) => Promise<void>> = {
  'a model that thinks for a quarter of an hour before its first word': (my) =>
    my.pass(15 * minute, () => my.gateway('waiting')),
  'a request that the gateway holds back for an hour': (my) => my.pass(60 * minute, () => my.gateway('waiting')),
  'an answer that comes a byte a minute': async (my) => {
    for (let n = 0; n < 30; n += 1) {
      await my.pass(minute)
      my.gateway('bytes')
    }
  },
  'a build that says nothing and works': (my) => my.pass(30 * minute, () => void (my.used.cpuMs += 400)),
  'tools one after the other, seven minutes each': async (my) => {
    for (let n = 0; n < 5; n += 1) {
      my.event(tool)
      await my.pass(7 * minute)
    }
  },
}
for (const [name, play] of Object.entries(slow))
  test(`not ended: ${name}`, async () => {
    const my = watched()
    await play(my)
    assert.deepEqual(my.revoked, [])
    await my.pass(windowMs + minute)
    assert.deepEqual([...new Set(my.revoked)], ['stalled'], 'and once it does nothing any more, it is')
    my.end()
  })

const idle: Record<string, (my: Watched) => Promise<void>> = {
  'one that beats and does nothing': (my) => my.pass(windowMs + minute),
  'one that tries again and again': (my) => my.pass(windowMs + minute, () => my.event(retry)),
  'one that beats in words nobody knows': (my) =>
    my.pass(windowMs + minute, () => my.event({ type: 'unknown', raw: { type: 'tool_progress', elapsed: 30 } })),
  'one that only complains': (my) =>
    my.pass(windowMs + minute, () => my.event({ type: 'warning', text: 'no network' })),
  'one that waits as programs wait, with a little CPU': (my) =>
    my.pass(windowMs + minute, () => void (my.used.cpuMs += 20)),
  'one whose tool asks something where nobody answers': async (my) => {
    my.event(tool)
    await my.pass(windowMs + minute)
  },
}
for (const [name, play] of Object.entries(idle))
  test(`ended: ${name}`, async () => {
    const my = watched()
    await play(my)
    assert.deepEqual([...new Set(my.revoked)], ['stalled'])
    my.end()
  })

test('waiting stops the clock, it does not set it back: what was silent before counts', async () => {
  const my = watched()
  await my.pass(windowMs - 2 * minute)
  await my.pass(20 * minute, () => my.gateway('waiting'))
  await my.pass(minute)
  assert.deepEqual(my.revoked, [])
  await my.pass(2 * minute)
  assert.deepEqual([...new Set(my.revoked)], ['stalled'])
  my.end()
})
