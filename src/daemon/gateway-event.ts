/**
 * What the daemon does when the gateway speaks: its faults are said, and what of a task's requests was taken out or let through because a provider would
 * do it by itself is written down with the task. The rest (money) is for `next`.
 */
import type { GatewayEvent } from '../gateway/gateway.ts'
import type { World } from '../host/world.ts'
import { append } from '../store/append.ts'
import type { Database } from '../store/database.ts'

type Parts = {
  world: Pick<World, 'clock'>
  database: Database
  failed: (loop: string, error: unknown) => Promise<void>
}

export const hearGateway =
  ({ world, database, failed }: Parts, next: (event: GatewayEvent) => void) =>
  (event: GatewayEvent): void => {
    if (event.type === 'gateway.failed') return void failed('gateway', event.error)
    if (event.type !== 'tools.stripped' && event.type !== 'tools.passed') return next(event)
    const { type, attempt, task, tools } = event
    const entry = { at: world.clock.now(), actor: 'gateway', stream: `task/${task}` }
    database
      .write((tx) => append(tx, { ...entry, events: [{ type, attempt, tools }] }))
      .catch((error: unknown) => failed('gateway', error))
  }
