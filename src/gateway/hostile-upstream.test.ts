/**
 * Providers that break the rules, each before the gateway as it stands. Whatever they do: the attempt hears of the right class, the ledger holds what was
 * billed or an upper bound of it, nothing stays held, and the next good request passes and is charged exactly.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { realWorld } from '../host/world.ts'
import { askIn, bodyOf, streamOf } from './canned.ts'
import type { WireReport } from './gateway.ts'
import { answering, books, realKey, setStage, tell, used, word, type Script, type Stage } from './rehearsal.ts'

const world = realWorld()
/** claude-opus-5-5: what `used` costs, what the least input could, what a cancelled answer may still be billed. */
const exactNanoUsd = 1000 * 4000 + 200 * 200 + 50 * 20_000
const inputNanoUsd = 1000 * 4000 + 200 * 200
const marginNanoUsd = 400 * 20_000

const stream = { 'content-type': 'text/event-stream' }
const event = (json: string): string => `data: ${json}\n\n`
const whole = streamOf('anthropic-messages', used, [word])
const begun = streamOf('anthropic-messages', used, [word], true)
const final = (usage: object): string =>
  event(JSON.stringify({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage })) +
  event('{"type":"message_stop"}')

const head = (text: string) => (response: ServerResponse) => response.writeHead(200, stream).write(text)
const says =
  (text: string, headers: Record<string, string> = stream, status = 200): Script =>
  (_, response) =>
    void response.writeHead(status, headers).end(text)
const refuses = (
  status: number,
  headers: Record<string, string> = {},
  text = '{"error":{"type":"x","message":"no"}}',
): Script => says(text, { 'content-type': 'application/json', ...headers }, status)

type Case = {
  what: string
  script: Script
  verdict: WireReport['verdict']
  /** How it is settled; `bound`: at the input and the cancel margin at least. */
  books: 'exact' | 'bound' | 'free'
  /** What the client sees: a status, or that the connection broke. */
  client: number | 'broken'
  /** Asked without a stream. */
  inOnePiece?: true
}

const cases: Case[] = [
  {
    what: 'resets the connection before it answers',
    script: (request) => void (request.socket as Socket).resetAndDestroy(),
    verdict: 'unreachable',
    books: 'bound',
    client: 502,
  },
  {
    what: 'resets it in the middle of a stream',
    script: (request, response) => {
      head(begun)(response)
      world.timer.after(20, () => (request.socket as Socket).resetAndDestroy())
    },
    verdict: 'unreachable',
    books: 'bound',
    client: 'broken',
  },
  {
    what: 'resets it after its last word',
    script: (request, response) => {
      head(whole)(response)
      world.timer.after(20, () => (request.socket as Socket).resetAndDestroy())
    },
    verdict: 'unreachable',
    books: 'exact',
    client: 'broken',
  },
  { what: 'hangs before it answers', script: () => {}, verdict: 'unreachable', books: 'bound', client: 'broken' },
  {
    what: 'hangs in the middle of a stream',
    script: (_, response) => void head(begun)(response),
    verdict: 'unreachable',
    books: 'bound',
    client: 'broken',
  },
  {
    what: 'ends a stream in the middle of a line',
    script: says(`${begun}data: {"type":"content_block_delta","ind`),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
  },
  { what: 'ends a stream without usage', script: says(begun), verdict: 'unreachable', books: 'bound', client: 200 },
  { what: 'answers with nothing at all', script: says(''), verdict: 'unreachable', books: 'bound', client: 200 },
  {
    what: 'sends events that are no JSON',
    script: says(`${event('{"usage":')}${event('{"usage"}}}')}${event('[DONE]')}:\n\n\u0000\u0001"usage\n\n`),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
  },
  {
    what: 'sends events of other shapes, and then good ones',
    script: says(
      [`{"usage":[]}`, `{"usage":7}`, `{"usage":{"output_tokens":"many"}}`, `[{"usage":{}}]`, 'null', '"usage"']
        .map(event)
        .join('') + whole,
    ),
    verdict: null,
    books: 'exact',
    client: 200,
  },
  {
    what: 'counts less than nothing, and parts of tokens',
    script: says(begun + final({ output_tokens: -5, input_tokens: 1.5, cache_read_input_tokens: -1e9 })),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
  },
  {
    what: 'counts more tokens than there are',
    script: says(begun + final({ output_tokens: Number.MAX_SAFE_INTEGER })),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
  },
  {
    what: 'compresses an answer that was to be plain',
    script: (_, response) =>
      void response.writeHead(200, { ...stream, 'content-encoding': 'gzip' }).end(gzipSync(whole)),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
  },
  {
    what: 'answers an error with 200, in one piece',
    script: says('{"type":"error","error":{"type":"overloaded_error","message":"later"}}', {
      'content-type': 'application/json',
    }),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
    inOnePiece: true,
  },
  {
    what: 'answers an error with 200, as a stream',
    script: says(`event: error\n${event('{"type":"error","error":{"type":"rate_limit_error","message":"later"}}')}`),
    verdict: 'rate-limited',
    books: 'bound',
    client: 200,
  },
  {
    what: 'answers a page with 200',
    script: says('<h1>It works!</h1>', { 'content-type': 'text/html' }),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
    inOnePiece: true,
  },
  {
    what: 'answers in one piece without usage',
    script: says(bodyOf('anthropic-messages', used).replace(/,"usage":.*/, '}'), {
      'content-type': 'application/json',
    }),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
    inOnePiece: true,
  },
  {
    what: 'answers with lists in lists, deeper than any stack',
    script: says('['.repeat(300_000) + ']'.repeat(300_000), { 'content-type': 'application/json' }),
    verdict: 'unreachable',
    books: 'bound',
    client: 200,
    inOnePiece: true,
  },
  { what: 'answers 204', script: says('', {}, 204), verdict: 'unreachable', books: 'bound', client: 204 },
  ...[301, 302, 303, 307, 308].map((status): Case => ({
    what: `sends elsewhere with ${status}`,
    script: refuses(status, { location: 'http://127.0.0.1:1/v1/messages' }),
    verdict: 'unreachable',
    books: 'free',
    client: 502,
  })),
  { what: 'refuses without a word', script: refuses(400, {}, ''), verdict: 'refused', books: 'free', client: 400 },
  {
    what: 'has a gateway that gave up waiting',
    script: refuses(504),
    verdict: 'unreachable',
    books: 'bound',
    client: 504,
  },
  {
    what: 'refuses in more words than anybody reads',
    script: refuses(400, {}, `{"error":"${'x'.repeat(3_000_000)}"}`),
    verdict: 'refused',
    books: 'free',
    client: 400,
  },
  ...['-5', '1e12', '99999999999999999999', 'soon', '-0.0001', 'Infinity', '\u00ff', '31536000000'].map(
    (after): Case => ({
      what: `says retry-after: ${JSON.stringify(after)}`,
      script: refuses(429, { 'retry-after': after }),
      verdict: 'rate-limited',
      books: 'free',
      client: 429,
    }),
  ),
  ...['-1', '99999999999', 'never'].map((reset): Case => ({
    what: `says that its limits are reset at ${reset}, and that less than nothing is left`,
    script: says(whole, {
      ...stream,
      'anthropic-ratelimit-requests-limit': '10',
      'anthropic-ratelimit-requests-remaining': '-3',
      'anthropic-ratelimit-requests-reset': reset,
      'anthropic-ratelimit-tokens-limit': reset,
      'anthropic-ratelimit-tokens-remaining': reset,
    }),
    verdict: null,
    books: 'exact',
    client: 200,
  })),
]

/** One good request, right after. */
async function goesOn(stage: Stage, key: string): Promise<void> {
  stage.provider.script = answering('anthropic-messages', used)
  const before = (await books(stage)).spent
  const { path, body } = askIn('anthropic-messages', true)
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal(heard.status, 200, heard.body.toString())
  assert.equal((await books(stage)).spent - before, exactNanoUsd)
}

/** Too impatient to ask again. */
const timeouts = { idleMs: 400, tickMs: 20, patienceMs: 9000 }

for (const { what, script, verdict, books: settled, client, inOnePiece } of cases)
  test(`a provider that ${what}: ${verdict ?? 'no class of its own'}, ${settled}, and the gateway goes on`, async () => {
    await using stage = await setStage(script, { timeouts })
    const { key, attempt } = await stage.enter('anthropic-messages')
    const { path, body } = askIn('anthropic-messages', !inOnePiece)
    const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body }).catch(() => null)
    assert.equal(heard === null || heard.broken ? 'broken' : heard.status, client)
    await stage.settled(1)
    assert.equal(stage.gateway.report(attempt).verdict, verdict)
    const { charges, held } = await books(stage)
    const [charge] = charges
    assert.deepEqual([charges.length, held, charge!.how], [1, 0, settled === 'bound' ? 'estimated' : settled])
    const least = { exact: exactNanoUsd, bound: inputNanoUsd + marginNanoUsd, free: 0 }[settled]
    assert.ok(
      charge!.nanoUsd >= least && charge!.nanoUsd <= 20 * exactNanoUsd,
      `${charge!.nanoUsd} for at least ${least}`,
    )
    if (settled !== 'bound') assert.equal(charge!.nanoUsd, least)
    assert.ok(
      stage.provider.arrived.every(({ url }) => url === path),
      'nothing was followed',
    )
    const [closed] = stage.gateway.closed()
    if (closed === undefined) return await goesOn(stage, key)
    assert.ok(closed.until - world.clock.now() <= 66_000, 'a minute and a tenth, whatever it said')
    const gemini = await stage.enter('gemini')
    stage.provider.script = answering('gemini', used)
    const other = askIn('gemini', true)
    const next = await tell(stage.gateway, { ...other, headers: { 'x-goog-api-key': gemini.key } })
    assert.equal(next.status, 200)
  })

const raw: [string, string, 'unreachable' | 'fine'][] = [
  ['what is no HTTP', 'SSH-2.0-OpenSSH_9.2p1\r\n\r\n', 'unreachable'],
  ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}', 'unreachable'],
  [
    'a length and chunks',
    'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    'unreachable',
  ],
  ['a header without an end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(200_000)}`, 'unreachable'],
  ['a chunk of no size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n', 'fine'],
  ['fewer bytes than it said', 'HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"usage":', 'fine'],
]

for (const [what, bytes, seen] of raw)
  test(`a provider that sends ${what} is charged at the bound, and the gateway goes on`, async () => {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}))
      socket.once('data', () => socket.end(bytes))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const bad = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    let url = bad
    const upstream = {
      family: 'anthropic' as const,
      key: () => realKey,
      get baseUrl() {
        return url
      },
    }
    try {
      await using stage = await setStage(() => {}, { timeouts, upstreams: [upstream] })
      const { key, attempt } = await stage.enter('anthropic-messages')
      const { path, body } = askIn('anthropic-messages', false)
      const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body }).catch(() => null)
      assert.equal(heard === null || heard.broken ? 'broken' : heard.status, seen === 'fine' ? 'broken' : 502)
      assert.equal(stage.gateway.report(attempt).verdict, 'unreachable')
      const { charges, held } = await books(stage)
      assert.deepEqual([charges.map(({ how }) => how), held], [['estimated'], 0])
      assert.ok(charges[0]!.nanoUsd >= inputNanoUsd)
      url = stage.provider.url
      await goesOn(stage, key)
    } finally {
      for (const each of sockets) each.destroy()
      await new Promise((resolve) => server.close(resolve))
    }
  })

test('a line of a gigabyte passes through and is kept nowhere', async () => {
  const piece = Buffer.alloc(4 * 1024 * 1024, 120)
  const pieces = 256
  await using stage = await setStage(async (_, response) => {
    const gone = once(response, 'close')
    head('data: {"type":"content_block_delta","delta":{"text":"')(response)
    for (let sent = 0; sent < pieces && !response.destroyed; sent++)
      if (!response.write(piece)) await Promise.race([once(response, 'drain'), gone])
    response.end(`"}}\n\n${whole}`)
  })
  const { key } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  let [most, bytes, chunks] = [0, 0, 0]
  const before = process.memoryUsage.rss()
  await hearOut(stage, { path, key, body }, (chunk) => {
    bytes += chunk.length
    if (chunks++ % 64 === 0) most = Math.max(most, process.memoryUsage.rss() - before)
  })
  assert.ok(bytes > pieces * piece.length, `${bytes} bytes came through`)
  assert.ok(most < 300 * 1024 * 1024, `${Math.round(most / 1024 / 1024)} MB more at the most`)
  assert.deepEqual((await books(stage)).held, 0)
  await goesOn(stage, key)
})

test('a provider that has given up every connection kept alive is asked on a new one', async () => {
  const kept = new Set<unknown>()
  const held: (() => void)[] = []
  let atOnce = 1
  await using stage = await setStage((request, response, body) => {
    kept.add(request.socket)
    held.push(() => void answering('anthropic-messages', used)(request, response, body))
    if (held.length === atOnce) for (const answer of held.splice(0)) answer()
  })
  const { key } = await stage.enter('anthropic-messages')
  const { path, body } = askIn('anthropic-messages', true)
  const ask = () => tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  await ask() // of a provider nobody has heard of, one at a time is asked
  atOnce = 2
  await Promise.all([ask(), ask()])
  assert.equal(kept.size, 2)
  stage.provider.script = (request, response, text) => {
    if (kept.has(request.socket)) return void (request.socket as Socket).resetAndDestroy()
    return answering('anthropic-messages', used)(request, response, text)
  }
  assert.equal((await ask()).status, 200)
})

/** Hears an answer out and keeps none of it. */
async function hearOut(
  stage: Stage,
  { path, key, body }: { path: string; key: string; body: string },
  onData: (chunk: Buffer) => void,
): Promise<void> {
  const { request } = await import('node:http')
  return new Promise((resolve, reject) => {
    const { port } = new URL(stage.gateway.url)
    const asking = request(
      { host: '127.0.0.1', port, method: 'POST', path, headers: { 'x-api-key': key } },
      (response) => response.on('data', onData).on('end', resolve).on('error', reject),
    )
    asking.on('error', reject)
    asking.end(body)
  })
}
