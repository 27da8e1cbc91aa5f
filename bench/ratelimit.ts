/**
 * bench ratelimit: twelve agents that want 2.6 times what a provider allows, first through the gateway, then by themselves as the vendors' SDKs do it;
 * then a provider that is overloaded, and one that is closed for fifteen minutes. Real sockets and the shipped gateway, in a world whose minutes
 * pass in a second: what is measured are counts, not times.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { hastyWorld, seededRandom } from '../sim/world.ts'
import type { World } from '../src/host/world.ts'
import { streamOf } from '../src/gateway/canned.ts'
import { realKey, setStage, tell, type Heard, type Script } from '../src/gateway/rehearsal.ts'
import { realWorld } from '../src/host/world.ts'
import type { Bench, Row } from './measure.ts'

const minuteMs = 60_000
const agents = 12
/** facts/budget.md §4: the over-subscription at which the vendors' own ways were measured. */
const overSubscribed = 2.6
const thinkMs = 3000
const headMs = 1000
const streamMs = 5000
/** Mean size of a request in tokens, and how many of them all agents would make in a minute if nothing held them. */
const meanTokens = 25_000
const wantedPerMinute = (agents * meanTokens * minuteMs) / (thinkMs + headMs + streamMs)
const tries = 10

export type Extent = { minutes: number; haste: number; storms: number }
const full: Extent = { minutes: 20, haste: 60, storms: 100 }

export const benchRatelimit: Bench = (note) => measureRatelimit(full, note)

/** The rows, for as long as `extent` says. */
export async function measureRatelimit(extent: Extent, note: (text: string) => void): Promise<Row[]> {
  note(`${extent.minutes} minutes through the gateway`)
  const ours = await crowd(extent, 'gateway')
  note(`${extent.minutes} minutes of agents that honour retry-after`)
  const polite = await crowd(extent, 'retry-after')
  note(`${extent.minutes} minutes of agents that back off, 0.5 s × 2ⁿ up to 8 s`)
  const plain = await crowd(extent, 'back-off')
  note('an overloaded provider, and one that is closed for 15 minutes')
  const storm = await stormRatio(extent, true)
  const stormAlone = await stormRatio(extent, false)
  const intoWall = await wallRequests(extent)
  const percent = (what: string, measured: number, baseline: number | null, target: number | null) =>
    ({ what, unit: '%', measured, baseline, target }) as const
  return [
    percent('answers that are a 429; baseline: retry-after honoured by each', ours.refused, polite.refused, 1),
    percent('the same, back-off by each', plain.refused, null, null),
    percent('turns given up for a limit; baseline: back-off', ours.givenUp, plain.givenUp, 0),
    { ...percent('of the limit that is used; baseline: back-off', ours.used, plain.used, 80), atLeast: true },
    {
      what: 'requests sent for each one asked, in a storm of 529',
      unit: '×',
      measured: storm,
      baseline: stormAlone,
      target: 1.1,
    },
    {
      what: 'requests sent into a wall of 15 minutes',
      unit: 'requests',
      measured: intoWall,
      baseline: null,
      target: 0,
    },
  ]
}

type How = 'gateway' | 'retry-after' | 'back-off'

const path = '/v1/messages'
const model = 'claude-opus-5-5'

/** A body whose size says nothing exact about its tokens: those stand in it, for the provider to count. */
function bodyOf(tokens: number, dice: () => number): string {
  const text = 'x'.repeat(Math.ceil(tokens / (0.15 + 0.2 * dice())))
  const messages = [{ role: 'user', content: `${tokens} ${dice()} ${text}` }]
  return JSON.stringify({ model, max_tokens: 32_000, stream: true, messages })
}

const tokensIn = (body: Buffer): number => Number(/"content":"(\d+) /.exec(body.toString('latin1', 0, 400))?.[1])

/** Counts as Anthropic does: a bucket of input tokens that fills evenly, said in every answer. */
function limited(
  world: World,
  limit: number,
): { script: Script; counts: { sent: number; refused: number; tokens: number } } {
  const counts = { sent: 0, refused: 0, tokens: 0 }
  let level = limit
  let since = world.clock.mono()
  const script: Script = async (_request, response, body) => {
    const now = world.clock.mono()
    level = Math.min(limit, level + ((now - since) * limit) / minuteMs)
    since = now
    const cost = tokensIn(body)
    const isOver = cost > level
    counts.sent += 1
    counts.refused += Number(isOver)
    if (!isOver) {
      level -= cost
      counts.tokens += cost
    }
    const emptyMs = ((limit - level) * minuteMs) / limit
    const headers = {
      'anthropic-ratelimit-input-tokens-limit': String(limit),
      'anthropic-ratelimit-input-tokens-remaining': String(Math.floor(level)),
      'anthropic-ratelimit-input-tokens-reset': new Date(world.clock.now() + emptyMs).toISOString(),
    }
    if (isOver) {
      const seconds = Math.ceil(((cost - level) * 60) / limit)
      return void response.writeHead(429, { ...headers, 'retry-after': String(seconds) }).end('{}')
    }
    await answer(world, response, headers, cost)
  }
  return { script, counts }
}

async function answer(
  world: World,
  response: ServerResponse,
  headers: Record<string, string>,
  input: number,
): Promise<void> {
  await world.timer.sleep(headMs)
  response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
  const events = streamOf('anthropic-messages', { input, cached: 0, output: 300 }).split(/(?<=\n\n)/)
  for (const event of events) {
    response.write(event)
    await world.timer.sleep(streamMs / events.length)
  }
  response.end()
}

/** Twelve agents for so many minutes; what came of it in percent. */
async function crowd(
  { minutes, haste }: Extent,
  how: How,
): Promise<{ refused: number; givenUp: number; used: number }> {
  const world = hastyWorld(realWorld(), haste)
  const limit = Math.floor(wantedPerMinute / overSubscribed)
  const { script, counts } = limited(world, limit)
  await using stage = await setStage(script, { limits: { pace: null, dayNanoUsd: null }, over: () => ({ world }) })
  const until = world.clock.mono() + minutes * minuteMs
  const turns = { done: 0, givenUp: 0 }
  await Promise.all(
    Array.from({ length: agents }, async (_, index) => {
      const dice = seededRandom(index + 1)
      const { key } = await stage.enter('anthropic-messages', { limitNanoUsd: 1e15 })
      const to = how === 'gateway' ? stage.gateway : stage.provider
      while (world.clock.mono() < until) {
        const body = bodyOf(Math.ceil(meanTokens * (0.4 + 1.2 * dice())), dice)
        const isDone = await turn(world, dice, how, () =>
          tell(to, { path, headers: { 'x-api-key': how === 'gateway' ? key : realKey }, body }),
        )
        turns[isDone ? 'done' : 'givenUp'] += 1
        await world.timer.sleep(thinkMs * 2 * dice())
      }
    }),
  )
  return {
    refused: (100 * counts.refused) / counts.sent,
    givenUp: (100 * turns.givenUp) / (turns.done + turns.givenUp),
    used: (100 * counts.tokens) / (limit * (minutes + 1)), // the bucket was full at the start
  }
}

/** One turn of an agent, tried again as its SDK would; false when it gives up. */
async function turn(world: World, dice: () => number, how: How, ask: () => Promise<Heard>): Promise<boolean> {
  for (let n = 0; n < tries; n += 1) {
    const { status, headers } = await ask()
    if (status === 200) return true
    const named = Number(headers['retry-after'] ?? Number.NaN) * 1000
    const backOff = Math.min(8000, 500 * 2 ** n) * (0.75 + 0.25 * dice())
    await world.timer.sleep(how === 'back-off' || Number.isNaN(named) ? backOff : named)
  }
  return false
}

/** Requests that reach an overloaded provider for each one that agents make, over a storm of 90 seconds. */
async function stormRatio({ haste, storms }: Extent, isOurs: boolean): Promise<number> {
  const world = hastyWorld(realWorld(), haste / 2)
  const endsAt = world.clock.mono() + 1.5 * minuteMs
  const script = (_request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> | void =>
    world.clock.mono() < endsAt ? void response.writeHead(529).end('{}') : answer(world, response, {}, tokensIn(body))
  await using stage = await setStage(script, { limits: { pace: null, dayNanoUsd: null }, over: () => ({ world }) })
  const asking = Array.from({ length: storms }, async (_, index) => {
    const dice = seededRandom(index + 1)
    const { key } = await stage.enter('anthropic-messages', { limitNanoUsd: 1e15 })
    const to = isOurs ? stage.gateway : stage.provider
    const body = bodyOf(1000, dice)
    await turn(world, dice, 'back-off', () =>
      tell(to, { path, headers: { 'x-api-key': isOurs ? key : realKey }, body }),
    )
  })
  await Promise.all(asking)
  return stage.provider.arrived.length / storms
}

/** Requests that reach a provider after it has said that it is closed for fifteen minutes, while agents ask every half minute. */
async function wallRequests({ haste }: Extent): Promise<number> {
  const world = hastyWorld(realWorld(), haste * 5)
  await using stage = await setStage(
    (_, response) => void response.writeHead(429, { 'retry-after': '900' }).end('{}'),
    {
      over: () => ({ world }),
    },
  )
  const ask = async () => {
    const { key } = await stage.enter('anthropic-messages')
    await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body: bodyOf(1000, seededRandom(1)) })
  }
  await ask()
  const before = stage.provider.arrived.length
  const until = world.clock.mono() + 14 * minuteMs
  while (world.clock.mono() < until) {
    await Promise.all(Array.from({ length: agents }, ask))
    await world.timer.sleep(minuteMs / 2)
  }
  return stage.provider.arrived.length - before
}
