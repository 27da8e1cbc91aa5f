/**
 * One model asked for one token, the way agents ask: through a gateway of its own, with a virtual key, a hold before the request leaves and a charge
 * after it, in a ledger of its own in memory. A dozen tokens in and 16 out at most: a fraction of a cent with every model there is a price for.
 */
import { rm } from 'node:fs/promises'
import { request, type IncomingHttpHeaders } from 'node:http'
import { defaultLimits, type Grant } from '../core/budget.ts'
import type { Family } from '../core/family.ts'
import type { PriceTable } from '../core/price.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { openDatabase } from '../store/database.ts'
import { grantKey } from '../store/ledger.ts'
import { createGateway, type Upstream } from './gateway.ts'
import type { ProxyEnv } from './proxy.ts'
import type { Dialect } from './route.ts'

export type TrialAsk = {
  world: World
  upstream: Upstream
  model: string
  prices: PriceTable
  /** Families of models whose names do not tell. */
  families: Readonly<Record<string, Family>>
  proxy?: ProxyEnv | null
}

export type TrialAnswer = {
  /** Null: nobody answered. */
  status: number | null
  headers: IncomingHttpHeaders
  /** The provider's body, or the reason nobody answered. */
  text: string
  costNanoUsd: number
  ms: number
}

/** The hold is for the worst: 2,000 tokens that a provider might add unseen, at the dearest model's price. What is charged is what was used. */
const limitNanoUsd = 100_000_000
const patienceMs = 60_000

/** Asks one model for one token. Faults only where this machine does. */
export async function tryModel({ world, upstream, model, prices, families, proxy }: TrialAsk): Promise<TrialAnswer> {
  const folder = await makeTemporary('tri-trial')
  const database = openDatabase(':memory:')
  try {
    const gateway = await createGateway({
      verbatim: true,
      world,
      database,
      upstreams: [upstream],
      prices,
      limits: { ...defaultLimits, dayNanoUsd: limitNanoUsd, pace: null },
      folder,
      families,
      proxy: proxy ?? null,
      timeouts: { connectMs: 10_000, idleMs: patienceMs },
    })
    await using _ = gateway
    const key = `vk-trial-${world.secret(24)}`
    const { family } = upstream
    const grant: Grant = {
      attempt: 'trial',
      task: 'trial',
      repo: 'trial',
      repoName: 'trial',
      stage: 'trial',
      lane: 'critical',
      family,
      models: [model],
      grantedAt: world.clock.now(),
      scope: 'task/trial',
      limitNanoUsd,
    }
    await database.write((tx) => grantKey(tx, key, grant))
    await gateway.open(key, grant)
    const began = world.clock.mono()
    const heard = await tell(gateway.url, questionOf(family, model), key)
    const { costNanoUsd, verdict, reason } = gateway.report('trial')
    // without an answer of the provider's there is only ours, and its reason is the better text
    const isOurs = verdict === 'unreachable' && reason?.startsWith('the provider could not be reached') === true
    return {
      ...heard,
      ...(isOurs ? { status: null, text: reason! } : {}),
      costNanoUsd,
      ms: Math.round(world.clock.mono() - began),
    }
  } finally {
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
}

const dialectOf = (family: Family): Dialect =>
  family === 'anthropic'
    ? 'anthropic-messages'
    : family === 'openai'
      ? 'openai-responses'
      : family === 'google'
        ? 'gemini'
        : 'openai-chat'

/** The smallest request each dialect knows. OpenAI's Responses take no cap below 16. */
function questionOf(family: Family, model: string): { path: string; body: object } {
  const messages = [{ role: 'user', content: 'Say: ok' }]
  switch (dialectOf(family)) {
    case 'anthropic-messages':
      return { path: '/v1/messages', body: { model, max_tokens: 1, messages } }
    case 'openai-responses':
      return { path: '/v1/responses', body: { model, max_output_tokens: 16, store: false, input: messages } }
    case 'openai-chat':
      return { path: '/v1/chat/completions', body: { model, max_tokens: 1, messages } }
    case 'gemini': {
      const contents = [{ role: 'user', parts: [{ text: 'Say: ok' }] }]
      return {
        path: `/v1beta/models/${model}:generateContent`,
        body: { contents, generationConfig: { maxOutputTokens: 1 } },
      }
    }
  }
}

function tell(
  url: string,
  { path, body }: { path: string; body: object },
  key: string,
): Promise<Pick<TrialAnswer, 'status' | 'headers' | 'text'>> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': 'application/json',
      'anthropic-version': '2023-06-01',
      authorization: `Bearer ${key}`,
    }
    const asking = request(new URL(path, url), { method: 'POST', headers }, (response) => {
      const chunks: Buffer[] = []
      const end = () =>
        resolve({
          status: response.statusCode ?? null,
          headers: response.headers,
          text: Buffer.concat(chunks).toString('utf8'),
        })
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('close', end)
      response.on('error', end)
    })
    asking.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ status: null, headers: {}, text: error.code ?? error.message }),
    )
    asking.end(JSON.stringify(body))
  })
}
