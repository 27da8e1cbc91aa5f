/**
 * What the daemon does when the gateway speaks: its faults are said, and what of a task's requests was taken out or let through because a provider would
 * do it by itself is written down with the task. The rest (money) is for `next`. And the gateway that it listens to, as the settings want it.
 */
import { defaultLimits } from '../core/budget.ts'
import type { PriceTable } from '../core/price.ts'
import type { Gateway, GatewayEvent } from '../gateway/gateway.ts'
import { proxyEnvOf } from '../gateway/proxy.ts'
import type { World } from '../host/world.ts'
import { append } from '../store/append.ts'
import type { Database } from '../store/database.ts'
import type { FoundAgents } from './agents.ts'
import type { DaemonOptions } from './daemon.ts'
import { gatewayLimits } from './live-settings.ts'
import type { DaemonPorts } from './ports.ts'
import { otherFamilies } from './prices.ts'

type Parts = {
  world: Pick<World, 'clock'>
  database: Database
  failed: (loop: string, error: unknown) => Promise<void>
}

type Opened = Parts &
  Pick<DaemonOptions, 'settings' | 'paths' | 'env'> & {
    ports: Pick<DaemonPorts, 'createGateway'>
    world: World
    agents: Pick<FoundAgents, 'upstreams'>
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

/** The gateway as the settings want it, heard by the daemon. */
export const openTheGateway = (
  { ports, world, database, settings, agents, paths, env, failed }: Opened,
  prices: PriceTable,
  hear: (event: GatewayEvent) => void,
): Promise<Gateway> =>
  ports.createGateway({
    world,
    database,
    upstreams: agents.upstreams,
    prices,
    limits: { ...defaultLimits, ...gatewayLimits(settings.money) },
    timeouts: { idleMs: settings.patience.providerMs },
    folder: paths.sockets,
    families: otherFamilies(settings),
    proxy: proxyEnvOf(env),
    onEvent: hearGateway({ world, database, failed }, hear),
  })
