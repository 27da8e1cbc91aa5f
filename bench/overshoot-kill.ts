/**
 * The end of bench overshoot: how fast money that crosses the breaker's edge stops everything. Streams of as many attempts are at work when it trips; from that
 * moment on it is measured until the last byte a client was sent, and the last one the provider wrote to anybody who still listened. A key that is revoked
 * lets nothing in meanwhile.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { request as requestHttp } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLimits } from '../src/core/budget.ts'
import { createGateway } from '../src/gateway/gateway.ts'
import { loadPrices } from '../src/gateway/prices.ts'
import { openDatabase } from '../src/store/database.ts'
import { world } from '../test/cli-rig.ts'
import { openAttempts, startProvider, tell, turns } from './overshoot.ts'

export type Killed = {
  /** Milliseconds from the crossing, of the slowest stream. */
  clientMs: number
  providerMs: number
  /** Requests that the provider began after the crossing. */
  letIn: number
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** One stream heard to its end; when its last byte came. */
const hear = (url: string, key: string, question: string): Promise<number> =>
  new Promise((resolve) => {
    let last = 0
    const headers = { 'x-api-key': key, 'content-type': 'application/json' }
    const asking = requestHttp(new URL('/v1/messages', url), { method: 'POST', headers, agent: false }, (response) =>
      response
        .on('data', () => (last = now()))
        .on('close', () => resolve(last))
        .on('error', () => {}),
    )
    asking.on('error', () => resolve(last))
    asking.end(question)
  })

/** So many streams, until the breaker trips. */
export async function killAll(streams: number): Promise<Killed> {
  await using provider = await startProvider({ streams, limitNanoUsd: 0, lagMs: 0, tokensPerStream: 100_000 })
  const folder = await mkdtemp(join(tmpdir(), 'tri-kill-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  const burstNanoUsd = streams * 61_000_000 // every stream may begin, and hardly any may grow
  const crossed = Promise.withResolvers<number>()
  const gateway = await createGateway({
    world,
    database,
    upstreams: [{ family: 'anthropic', baseUrl: provider.url, key: () => 'nobodys-key' }],
    prices: loadPrices(),
    limits: { ...defaultLimits, dayNanoUsd: null, pace: { minuteNanoUsd: 10_000_000, burstNanoUsd } },
    folder: join(folder, 's'),
    onEvent: (event) => void (event.type === 'breaker.tripped' && crossed.resolve(now())),
  })
  try {
    const keys = await openAttempts({ database, gateway }, streams, { lane: 'critical', limitNanoUsd: 1e12 })
    const question = turns[1] ?? ''
    const heard = keys.map((key) => hear(gateway.url, key, question))
    const at = await crossed.promise
    const begun = (await provider.bill()).streams
    await Promise.all(keys.map((key) => tell(gateway.url, key, question))) // the agents ask again at once
    const lasts = await Promise.all(heard)
    await world.timer.sleep(200)
    const { streams: after, lastWordMs } = await provider.bill()
    return { clientMs: Math.max(...lasts) - at, providerMs: lastWordMs - at, letIn: after - begun }
  } finally {
    await gateway[Symbol.asyncDispose]()
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
}
