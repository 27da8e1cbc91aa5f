/** What the gateway says of tools a provider has is in the log of the task it is about; all else goes on to whoever wants it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { added } from '../core/fixture.ts'
import type { GatewayEvent } from '../gateway/gateway.ts'
import { append } from '../store/append.ts'
import { openDatabase } from '../store/database.ts'
import { hearGateway } from './gateway-event.ts'

test('what was taken out of a task’s requests, and what was let through, is in its log; money and faults are told to others', async (t) => {
  const world = virtualWorld()
  const database = openDatabase(':memory:')
  t.after(() => database.close())
  await database.write((tx) =>
    append(tx, { at: 0, actor: 'person:p', stream: 'task/task_1', events: [added('task_1')] }),
  )
  const told: string[] = []
  const next = ({ type }: GatewayEvent) => void told.push(type)
  const failed = async (loop: string) => void told.push(`failed ${loop}`)
  const hear = hearGateway({ world, database, failed }, next)
  hear({ type: 'tools.stripped', attempt: 'att_1', task: 'task_1', tools: ['web_search_20250305'] })
  hear({ type: 'tools.passed', attempt: 'att_1', task: 'task_1', tools: ['web_search'] })
  hear({ type: 'breaker.tripped', why: 'dear', attempts: [] })
  hear({ type: 'gateway.failed', attempt: null, error: 'x' })
  const rows = await database.write((tx) =>
    tx.all<{ type: string; actor: string; body: string }>('select type, actor, body from event order by seq'),
  )
  assert.deepEqual(
    rows.slice(1).map(({ type, actor, body }) => [type, actor, JSON.parse(body)]),
    [
      ['tools.stripped', 'gateway', { attempt: 'att_1', tools: ['web_search_20250305'] }],
      ['tools.passed', 'gateway', { attempt: 'att_1', tools: ['web_search'] }],
    ],
  )
  assert.deepEqual(told, ['breaker.tripped', 'failed gateway'])
})
