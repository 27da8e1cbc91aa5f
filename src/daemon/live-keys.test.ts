/** Keys that change while the daemon is up. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { endOverlap, readStored, removeStored, rotate, store, type KeyPorts } from '../host/key-store.ts'
import { realWorld } from '../host/world.ts'
import { liveKeys } from './live-keys.ts'

const [first, second] = ['sk-ant-first-00000000000', 'sk-ant-second-0000000000']
const hour = 3_600_000

async function withKeys(body: (ports: KeyPorts, clock: { ms: number }) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  const clock = { ms: 0 }
  const real = realWorld()
  const world = { ...real, clock: { ...real.clock, now: () => clock.ms } }
  try {
    await body({ world, env: {}, folder: join(folder, 'keys') }, clock)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('a rotated key is used at the next look, and the one before for 24 hours where it is needed', () =>
  withKeys(async (ports, clock) => {
    await store(ports, 'anthropic', { key: first })
    const live = liveKeys(ports)
    const key = live.take('anthropic', { stored: 'anthropic' }, first)
    await live.look()
    assert.deepEqual([key.key(), key.before()], [first, null])
    await rotate(ports, 'anthropic', second, 24 * hour)
    assert.deepEqual([key.key(), key.before()], [first, null])
    await live.look()
    assert.deepEqual([key.key(), key.before()], [second, first])
    assert.deepEqual(live.secrets().toSorted(), [first, second].toSorted(), 'both are scrubbed')
    clock.ms = 24 * hour - 1
    assert.equal(key.before(), first)
    clock.ms = 24 * hour
    assert.equal(key.before(), null)
  }))

test('a daemon that starts within those hours knows both', () =>
  withKeys(async (ports) => {
    await store(ports, 'anthropic', { key: first })
    await rotate(ports, 'anthropic', second, 24 * hour)
    const live = liveKeys(ports)
    const key = live.take('anthropic', { stored: 'anthropic' }, second)
    await live.look()
    assert.deepEqual([key.key(), key.before()], [second, first])
  }))

test('what is revoked or removed is gone at the next look', () =>
  withKeys(async (ports) => {
    await store(ports, 'anthropic', { key: first })
    const live = liveKeys(ports)
    const key = live.take('anthropic', { stored: 'anthropic' }, first)
    await rotate(ports, 'anthropic', second, 24 * hour)
    await live.look()
    assert.ok(!isRefusal(await endOverlap(ports, 'anthropic')))
    assert.ok(isRefusal(await endOverlap(ports, 'anthropic')), 'there is none any more')
    await live.look()
    assert.deepEqual([key.key(), key.before(), live.without()], [second, null, []])
    await removeStored(ports, 'anthropic')
    await live.look()
    assert.deepEqual([key.key(), live.without()], ['', ['anthropic']])
    await store(ports, 'anthropic', { key: first })
    await live.look()
    assert.deepEqual([key.key(), live.without()], [first, []])
  }))

test('a key of a variable or a file of its own stays what it was', () =>
  withKeys(async (ports) => {
    const live = liveKeys(ports)
    const key = live.take('openai', { env: 'OPENAI_API_KEY' }, first)
    await live.look()
    assert.deepEqual([key.key(), key.before(), live.without()], [first, null, []])
  }))

test('a rotation that is done twice keeps the key before it', () =>
  withKeys(async (ports) => {
    await store(ports, 'anthropic', { key: first })
    const live = liveKeys(ports)
    const key = live.take('anthropic', { stored: 'anthropic' }, first)
    await rotate(ports, 'anthropic', second, 24 * hour)
    const again = await rotate(ports, 'anthropic', second, 24 * hour)
    assert.ok(isRefusal(again) && again.refused === 'key-same', JSON.stringify(again))
    await live.look()
    assert.deepEqual([key.key(), key.before()], [second, first])
  }))

test('only a key that is kept can be rotated', () =>
  withKeys(async (ports) => {
    const refused = await rotate(ports, 'anthropic', second, hour)
    assert.equal(isRefusal(refused) && refused.refused, 'key-missing')
    await store(ports, 'anthropic', { command: 'echo sk-told-by-a-command-0' })
    const told = await rotate(ports, 'anthropic', second, hour)
    assert.equal(isRefusal(told) && told.refused, 'key-command')
    assert.deepEqual(await readStored(ports, 'anthropic'), { key: 'sk-told-by-a-command-0' })
  }))
