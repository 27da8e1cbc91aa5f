/**
 * bench overshoot: many streams against one budget, before a provider that bills until our abort arrives. Ours (phased hold, lease, cut) beside what
 * others do: check before and record after, and reserve the worst case. Each in turn in the same sitting, each with a provider of its own.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as requestHttp, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLimits, type Grant } from '../src/core/budget.ts'
import { createGateway, type Gateway } from '../src/gateway/gateway.ts'
import { loadPrices } from '../src/gateway/prices.ts'
import { environment } from '../src/host/environment.ts'
import { openDatabase, type Database } from '../src/store/database.ts'
import { grantKey } from '../src/store/ledger.ts'
import { accountOf } from '../src/store/account.ts'
import { world } from '../test/cli-rig.ts'
import type { Bench, Row } from './measure.ts'

const usd = 1_000_000_000
const model = 'claude-opus-5-5'
const outputRate = 20_000
/** What Claude Code asks for on every request. */
const maxTokens = 128_000
const ask = (content: string) =>
  JSON.stringify({ model, max_tokens: maxTokens, stream: true, messages: [{ role: 'user', content }] })
/** Every stream is a session's second turn; the first one is short. */
export const turns = [ask('Be short.'), ask('Go on.')]

export type Asked = { streams: number; limitNanoUsd: number; lagMs: number; tokensPerStream: number }
export type Outcome = {
  bill: number
  /** What the ledger says was spent; null where there is none. */
  ledger: number | null
  /** Requests that the provider began. */
  admitted: number
  /** Answers that began and did not end as whole ones. */
  broken: number
  /** What had been billed when the first request or stream was refused; null: none was. */
  atFirstRefusal: number | null
}

type Bill = { billed: number; streams: number; lastWordMs: number }
type Provider = AsyncDisposable & { url: string; bill(): Promise<Bill> }

export async function startProvider({ lagMs, tokensPerStream }: Asked): Promise<Provider> {
  const args = [join(import.meta.dirname, 'overshoot-provider.ts'), String(lagMs), String(tokensPerStream)]
  const env = { PATH: environment()['PATH'] ?? '' }
  const child = await world.spawn({ file: process.execPath, args, cwd: tmpdir(), env })
  child.stderr.resume()
  const port = await new Promise<string>((resolve) =>
    child.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim())),
  )
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    bill: async () => (await (await fetch(`${url}/bill`)).json()) as Bill,
    async [Symbol.asyncDispose]() {
      child.signal('SIGKILL')
      await child.exit
    },
  }
}

/** The bill once nothing is made any more: after every abort has had its lag. */
export async function finalBill(provider: Provider): Promise<{ billed: number; streams: number }> {
  for (let before = await provider.bill(); ;) {
    await world.timer.sleep(400)
    const now = await provider.bill()
    if (now.billed === before.billed) return now
    before = now
  }
}

/** Asks and hears the answer out; true when it ended as a whole one. */
export const tell = (url: string, key: string, question: string): Promise<{ status: number; whole: boolean }> =>
  new Promise((resolve) => {
    const headers = { 'x-api-key': key, 'content-type': 'application/json' }
    const asking = requestHttp(new URL('/v1/messages', url), { method: 'POST', headers, agent: false }, (response) => {
      let last = ''
      const end = () => resolve({ status: response.statusCode ?? 0, whole: last.includes('"message_stop"') })
      response.setEncoding('utf8')
      response.on('data', (text: string) => (last = (last + text).slice(-200)))
      response.on('end', end)
      response.on('error', end)
    })
    asking.on('error', () => resolve({ status: 0, whole: false }))
    asking.end(question)
  })

/** Both turns, one after the other; a refused one is the last. */
async function session(url: string, key: string): Promise<{ status: number; whole: boolean }> {
  const [first = '', second = ''] = turns
  const heard = await tell(url, key, first)
  return heard.status === 200 && heard.whole ? tell(url, key, second) : heard
}

/** So many attempts of one task, each with a key of its own; answers these. */
export function openAttempts(
  { database, gateway }: { database: Database; gateway: Gateway },
  attempts: number,
  more: Pick<Grant, 'limitNanoUsd'> & Partial<Grant>,
): Promise<string[]> {
  return Promise.all(
    Array.from({ length: attempts }, async (_, n) => {
      const key = `vk-${n}-${world.secret(8)}`
      const grant: Grant = {
        attempt: `att_${n}`,
        task: 'task_1',
        repo: 'repo_1',
        repoName: 'shop',
        stage: 'implement',
        lane: 'normal',
        family: 'anthropic',
        models: [model],
        grantedAt: world.clock.now(),
        scope: 'task/task_1',
        ...more,
      }
      await database.write((tx) => grantKey(tx, key, grant))
      await gateway.open(key, grant)
      return key
    }),
  )
}

/** All streams through our gateway, with the limits it is shipped with. */
export async function throughGateway(asked: Asked): Promise<Outcome> {
  await using provider = await startProvider(asked)
  const folder = await mkdtemp(join(tmpdir(), 'tri-overshoot-'))
  const database = openDatabase(join(folder, 'tasks.db'))
  const refusal: { first: Promise<number> | null } = { first: null }
  const refused = () => (refusal.first ??= provider.bill().then(({ billed }) => billed))
  const gateway = await createGateway({
    world,
    database,
    upstreams: [{ family: 'anthropic', baseUrl: provider.url, key: () => 'nobodys-key' }],
    prices: loadPrices(),
    limits: { ...defaultLimits, dayNanoUsd: null, pace: null },
    folder: join(folder, 's'),
    onEvent: (event) => void (event.type === 'budget.reached' && refused()),
  })
  try {
    const keys = await openAttempts({ database, gateway }, asked.streams, { limitNanoUsd: asked.limitNanoUsd })
    const heard = await Promise.all(keys.map((key) => session(gateway.url, key)))
    const { billed, streams } = await finalBill(provider)
    const account = await database.read((reader) => accountOf(reader, 'task/task_1'))
    const answered = heard.filter(({ status }) => status === 200)
    return {
      bill: billed,
      ledger: account?.spent ?? null,
      admitted: streams,
      broken: answered.filter(({ whole }) => !whole).length,
      atFirstRefusal: await refusal.first,
    }
  } finally {
    await gateway[Symbol.asyncDispose]()
    database.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** What the others do, in as few lines: `hold` says what a request reserves before it leaves; what it cost is recorded when it is over. */
export async function throughPlainProxy(asked: Asked, hold: number): Promise<Outcome> {
  await using provider = await startProvider(asked)
  let used = 0
  const refusal: { first: Promise<number> | null } = { first: null }
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      if (used + hold > asked.limitNanoUsd || used >= asked.limitNanoUsd) {
        refusal.first ??= provider.bill().then(({ billed }) => billed)
        return response.writeHead(402).end()
      }
      used += hold
      const onward = requestHttp(
        new URL('/v1/messages', provider.url),
        { method: 'POST', agent: false },
        (answer: IncomingMessage) => {
          let text = ''
          response.writeHead(answer.statusCode ?? 502, answer.headers)
          answer.on('data', (bytes: Buffer) => {
            text = (text + bytes.toString('utf8')).slice(-400)
            response.write(bytes)
          })
          answer.on('end', () => {
            used += 500 * 4000 + Number(/"output_tokens":(\d+)/.exec(text)?.[1] ?? 0) * outputRate - hold
            response.end()
          })
        },
      )
      onward.end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const heard = await Promise.all(Array.from({ length: asked.streams }, () => session(url, 'any')))
  const { billed, streams } = await finalBill(provider)
  await stop(server)
  const answered = heard.filter(({ status }) => status === 200)
  const broken = answered.filter(({ whole }) => !whole).length
  return { bill: billed, ledger: null, admitted: streams, broken, atFirstRefusal: await refusal.first }
}

const stop = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

const lagMs = 300
const tokensPerStream = 6000
/** numbers.md. */
const leastUsed = 80

export const benchOvershoot: Bench = async (note) => {
  const rows: Row[] = []
  for (const [streams, limit] of [
    [10, 0.5],
    [30, 1.5],
  ] as const) {
    const asked = { streams, limitNanoUsd: limit * usd, lagMs, tokensPerStream }
    const of = `${streams} streams, $${limit.toFixed(2)}`
    note(`${of}: ours`)
    const ours = await throughGateway(asked)
    note(`${of}: check before, record after`)
    const after = await throughPlainProxy(asked, 0)
    note(`${of}: reserve the worst case`)
    const worst = await throughPlainProxy(asked, 500 * 8000 + maxTokens * outputRate)
    const row = (what: string, unit: Row['unit'], measured: number, more: Partial<Row> = {}): Row => ({
      what: `${of}: ${what}`,
      unit,
      measured,
      baseline: null,
      target: null,
      ...more,
    })
    const dollars = (nanoUsd: number) => nanoUsd / usd
    const used = (100 * (ours.atFirstRefusal ?? 0)) / asked.limitNanoUsd
    rows.push(
      row('bill', '$', dollars(ours.bill), { baseline: dollars(after.bill), target: limit }),
      row('ledger, never below the bill', '$', dollars(ours.ledger ?? 0), {
        target: dollars(ours.bill),
        atLeast: true,
      }),
      row('of the limit billed at the first refusal', '%', used, { target: leastUsed, atLeast: true }),
      row('requests begun, two a stream', 'streams', ours.admitted, { baseline: after.admitted }),
      row('answers that did not end as whole ones', 'streams', ours.broken, { target: 0 }),
      row('  check before, record after: bill', '$', dollars(after.bill)),
      row('  worst case reserved: requests begun', 'streams', worst.admitted),
    )
  }
  const { killAll } = await import('./overshoot-kill.ts')
  for (const streams of [10, 30]) {
    note(`${streams} streams, the breaker trips`)
    const { clientMs, providerMs, letIn } = await killAll(streams)
    const of = `${streams} streams, the breaker trips`
    const row = { baseline: null, target: null }
    rows.push(
      { what: `${of}: crossing to the last byte a client got`, unit: 'ms', measured: clientMs, ...row },
      { what: `${of}: crossing to the last the provider wrote`, unit: 'ms', measured: providerMs, ...row },
      { what: `${of}: requests let in after it`, unit: 'requests', measured: letIn, baseline: null, target: 0 },
    )
  }
  return rows
}
