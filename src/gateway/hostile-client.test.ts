/**
 * Agents that break the rules, each against the gateway as it stands, mostly byte by byte. Whatever they do: nothing leaves that was not held for, nothing
 * of it costs anything, and the next good request passes and is charged exactly.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { askIn } from './canned.ts'
import { answering, books, setStage, tell, used, type Stage } from './rehearsal.ts'

/** claude-opus-5-5. */
const exactNanoUsd = 1000 * 4000 + 200 * 200 + 50 * 20_000
const megabyte = 1024 * 1024
const { path, body } = askIn('anthropic-messages', true)
const dialect = 'anthropic-messages'

/** Says bytes and answers what was heard until the connection ended, or `enough` of it was. */
function shout(url: string, bytes: Iterable<string | Buffer>, enough = /\r\n\r\n/): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let heard = ''
    const end = () => {
      socket.destroy()
      resolve(heard)
    }
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
      if (enough.test(heard)) end()
    })
    socket.on('error', end).on('close', end)
    const pieces = bytes[Symbol.iterator]()
    const go = (): void => {
      for (let next = pieces.next(); !next.done; next = pieces.next())
        if (!socket.write(next.value)) return void socket.once('drain', go)
    }
    socket.on('connect', go)
  })
}

const statusIn = (heard: string): string => heard.split('\r\n')[0]!.split(' ')[1] ?? 'hung up'

/** One good request, right after: the only one that may have left, and the only one that cost. */
async function goesOn(stage: Stage, key: string, what: string): Promise<void> {
  const before = stage.provider.arrived.length
  const { spent } = await books(stage)
  const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body })
  assert.equal(heard.status, 200, what)
  assert.equal(stage.provider.arrived.length, before + 1, what)
  const after = await books(stage)
  assert.deepEqual([after.spent - spent, after.held], [exactNanoUsd, 0], what)
}

test('requests hidden in requests, and lines that two readers could read differently, are never served', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key, attempt } = await stage.enter(dialect)
  const line = `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-type: application/json\r\n`
  const length = Buffer.byteLength(body)
  const hidden = `POST /v1/messages/batches HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: 2\r\n\r\n{}`
  const chunked = `${length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const smuggled: [string, string][] = [
    ['a length and chunks', `${line}content-length: ${length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['chunks and a length', `${line}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${chunked}${hidden}`],
    ['two lengths', `${line}content-length: ${length}\r\ncontent-length: 2\r\n\r\n${body}`],
    ['a length that is no number', `${line}content-length: ${length}x\r\n\r\n${body}`],
    ['a length below zero', `${line}content-length: -1\r\n\r\n${body}`],
    ['chunks by another name', `${line}transfer-encoding: xchunked\r\n\r\n${chunked}`],
    ['chunks that are not the last coding', `${line}transfer-encoding: chunked, identity\r\n\r\n${chunked}`],
    ['a space before the colon', `${line}transfer-encoding : chunked\r\n\r\n${chunked}`],
    ['a folded line', `${line}x: y\r\n content-length: ${length}\r\n\r\n${body}`],
    ['a bare carriage return', `${line}x: y\rcontent-length: ${length}\r\n\r\n${body}`],
    ['a zero byte', `${line}x: \0\r\ncontent-length: ${length}\r\n\r\n${body}`],
    ['a chunk size that overflows', `${line}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n${body}`],
    ['a chunk size of less than nothing', `${line}transfer-encoding: chunked\r\n\r\n-1\r\n${body}`],
    ['HTTP/0.9', `POST ${path}\r\n\r\n${body}`],
    ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS on a plain port', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
  ]
  for (const [what, bytes] of smuggled) {
    const heard = await shout(stage.gateway.url, [bytes])
    assert.match(statusIn(heard), /^(?:400|403|hung up)$/, `${what}: ${heard.slice(0, 80)}`)
    assert.deepEqual([what, stage.provider.arrived.length], [what, smuggled.findIndex(([each]) => each === what)])
    await goesOn(stage, key, what)
  }
  assert.equal(stage.gateway.report(attempt).requests, smuggled.length, 'none of them counts')
})

test('a second request on a connection is judged by its own key, and a body ends where it says', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key } = await stage.enter(dialect)
  const ask = (own: string, more = '') =>
    `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${own}\r\n${more}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const heard = await shout(
    stage.gateway.url,
    [ask(key) + ask('vk-of-nobody', 'connection: close\r\n')],
    /HTTP\/1\.1 403[^]*\r\n\r\n/,
  )
  assert.deepEqual(
    [...heard.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status),
    ['200', '403'],
  )
  assert.equal(stage.provider.arrived.length, 1)
  assert.equal(stage.provider.arrived[0]!.body.toString(), body)
})

test('what is not a path of ours, or a way around one, is denied before its body is read', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key } = await stage.enter(dialect)
  const targets = String.raw`
    POST http://example.com/v1/messages
    POST //example.com/v1/messages
    POST https://127.0.0.1/v1/messages
    POST /v1/../v1/messages
    POST /v1/./messages
    POST /t/../v1/messages
    POST /v1//messages
    POST /v1/%6dessages
    POST /v1/%2e%2e/v1/messages
    POST /v1/messages%00
    POST /v1\messages
    POST /v1/messages/
    POST /V1/MESSAGES
    POST /v1/messages;a=b
    POST /v1/messages#x
    POST messages
    POST /v1/messages/batches
    POST /v1/files
    GET /v1/messages
    PUT /v1/messages
    DELETE /v1/messages
    OPTIONS *
    TRACE /v1/messages
    POST /v1/complete
    POST /v1/organizations/usage_report/messages
    POST /__proto__
    POST /constructor
    POST /t/x
    POST /t//v1/messages
    POST @example.com/v1/messages
  `
    .trim()
    .split(/\n */)
  for (const target of targets) {
    const head = `${target} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
    const heard = await shout(stage.gateway.url, [head])
    assert.match(statusIn(heard), /^(?:403|400)$/, `${target}: ${heard.slice(0, 60)}`)
  }
  assert.deepEqual(stage.provider.arrived, [])
  await goesOn(stage, key, 'after all of them')
})

test('keys that are wrong, stale, of another task, given twice, or in the wrong place open nothing', async () => {
  await using stage = await setStage(answering(dialect, used))
  const own = await stage.enter(dialect)
  const other = await stage.enter(dialect, { task: 'task_2', scope: 'task/task_2' })
  const gone = await stage.enter(dialect)
  await stage.gateway.revoke(gone.attempt)
  const { url } = stage.gateway
  const presented: [string, { url?: string; socket?: string }, Record<string, string>, string?][] = [
    ['none', { url }, {}],
    ['a wrong one', { url }, { 'x-api-key': 'vk-wrong' }],
    ['a stale one', { url }, { 'x-api-key': gone.key }],
    ['one of another task on this socket', { socket: own.socket }, { 'x-api-key': other.key }],
    ['two that differ', { url }, { 'x-api-key': own.key, authorization: `Bearer ${other.key}` }],
    ['one as a password', { url }, { authorization: `Basic ${Buffer.from(`x:${own.key}`).toString('base64')}` }],
    ['one in the query', { url }, {}, `${path}&key=${own.key}&x-api-key=${own.key}`],
    ['one in a cookie', { url }, { cookie: `x-api-key=${own.key}` }],
    ['one in capitals', { url }, { 'x-api-key': own.key.toUpperCase() }],
    ['its beginning', { url }, { 'x-api-key': own.key.slice(0, -1) }],
    ['one with more behind it', { url }, { 'x-api-key': `${own.key}x` }],
    ['a megabyte of one', { url }, { 'x-api-key': 'v'.repeat(60_000) }],
    ['its hash', { url }, { 'x-api-key': '0'.repeat(64) }],
  ]
  for (const [what, to, headers, where = path] of presented) {
    const heard = await tell(to, { path: where, headers, body })
    assert.equal(heard.status, 403, what)
  }
  assert.deepEqual(stage.provider.arrived, [])
  assert.equal(stage.gateway.report(other.attempt).requests, 0)
  await goesOn(stage, own.key, 'after all of them')
})

test('half a gigabyte of body, as a length or piece by piece, is turned away after what may be asked at most', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key } = await stage.enter(dialect)
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\n`
  const said = await shout(stage.gateway.url, [`${head}content-length: 500000000\r\n\r\n{`])
  assert.equal(statusIn(said), '413')
  const before = process.memoryUsage.rss()
  let pieces = 0
  const piece = Buffer.concat([
    Buffer.from(`${megabyte.toString(16)}\r\n`),
    Buffer.alloc(megabyte, 120),
    Buffer.from('\r\n'),
  ])
  function* flood(): Generator<string | Buffer> {
    yield `${head}transfer-encoding: chunked\r\n\r\n`
    for (; pieces < 500; pieces++) yield piece
    yield '0\r\n\r\n'
  }
  const heard = await shout(stage.gateway.url, flood())
  assert.match(statusIn(heard), /^(?:413|hung up)$/, heard.slice(0, 80))
  assert.ok(pieces < 100, `${pieces} MB were taken`)
  assert.ok(process.memoryUsage.rss() - before < 200 * megabyte)
  assert.deepEqual(stage.provider.arrived, [])
  await goesOn(stage, key, 'after the flood')
})

test('a header line without an end is cut off at what a header may have', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key } = await stage.enter(dialect)
  let pieces = 0
  const piece = Buffer.alloc(megabyte, 120)
  for (const start of [`POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\nx: `, 'POST /', '']) {
    pieces = 0
    const line = function* (): Generator<string | Buffer> {
      if (start !== '') yield start
      for (; pieces < 1024; pieces++) yield piece
    }
    assert.match(statusIn(await shout(stage.gateway.url, line())), /^(?:431|400|414|hung up)$/, start)
    assert.ok(pieces < 64, `${start}: ${pieces} MB of a gigabyte were taken`)
  }
  await goesOn(stage, key, 'after all of them')
})

test('a bomb is never unpacked', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key, attempt } = await stage.enter(dialect)
  const bomb = gzipSync(Buffer.alloc(256 * megabyte), { level: 1 })
  const before = process.memoryUsage.rss()
  for (const encoding of ['gzip', 'x-gzip', 'deflate', 'br', 'zstd', 'identity, gzip', 'gzip, identity'])
    for (const sent of [bomb, Buffer.from('x')]) {
      const headers = { 'x-api-key': key, 'content-encoding': encoding }
      const heard = await tell(stage.gateway, { path, headers, body: sent }).catch(() => null)
      assert.ok(heard === null || heard.status === 403, `${encoding}: ${heard?.status}`) // hung up on while it still spoke
      if (heard) assert.match(heard.body.toString(), /a body encoded as .* is not taken/)
    }
  assert.ok(process.memoryUsage.rss() - before < 100 * megabyte)
  assert.deepEqual(stage.provider.arrived, [])
  assert.equal(stage.gateway.report(attempt).verdict, 'refused')
  await goesOn(stage, key, 'after all of them')
})

test('who asks more at once than any client does is told to come back', async () => {
  await using stage = await setStage(() => {})
  const { key } = await stage.enter(dialect)
  const leaving = new AbortController()
  const statuses: number[] = []
  const refused = Promise.withResolvers<void>()
  const asked = Array.from({ length: 260 }, async () => {
    const heard = await tell(stage.gateway, {
      path,
      headers: { 'x-api-key': key },
      body,
      signal: leaving.signal,
    }).catch(() => null)
    if (heard) statuses.push(heard.status)
    if (statuses.length === 60) refused.resolve()
  })
  await refused.promise
  leaving.abort()
  await Promise.all(asked)
  assert.deepEqual(statuses, Array<number>(60).fill(429))
  await stage.settled(1)
  stage.provider.script = answering(dialect, used)
  await goesOn(stage, key, 'after all of them')
})

test('many long bodies at once are kept no more of than a few', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key } = await stage.enter(dialect)
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: ${32 * megabyte}\r\n\r\n`
  const most = Buffer.alloc(30 * megabyte, 120)
  const asked = Array.from({ length: 5 }, () => shout(stage.gateway.url, [head, most]))
  assert.equal(statusIn(await Promise.race(asked)), '429')
  await goesOn(stage, key, 'beside those that wait')
})

test('hundreds who say a word and wait hold up nobody, and all of them are hung up on', async () => {
  await using stage = await setStage(answering(dialect, used), { timeouts: { headersMs: 400, requestMs: 800 } })
  const { key } = await stage.enter(dialect)
  const beginnings = [
    '',
    'P',
    `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\n`,
    `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: 50\r\n\r\n{`,
    `POST ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{`,
  ]
  const waiting = Array.from({ length: 300 }, (_, n) =>
    shout(stage.gateway.url, [beginnings[n % beginnings.length]!].filter(Boolean), /never/),
  )
  await goesOn(stage, key, 'while they wait')
  for (const heard of await Promise.all(waiting)) assert.match(statusIn(heard), /^(?:408|hung up)$/)
  assert.deepEqual(
    stage.provider.arrived.map(({ url }) => url),
    [path],
  )
  await goesOn(stage, key, 'after they are gone')
})

test('what is no request for a model of ours is refused in the client’s own tongue, whatever it is', async () => {
  await using stage = await setStage(answering(dialect, used))
  const { key } = await stage.enter(dialect)
  const good = JSON.parse(body) as Record<string, unknown>
  const deep = `{"model":"claude-opus-5-5","max_tokens":5,"messages":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
  const bodies: [string, string | Buffer][] = [
    ['nothing', ''],
    ['no JSON', '{"model":'],
    ['a list', '[]'],
    ['null', 'null'],
    ['no UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
    ['UTF-16', Buffer.from(body, 'utf16le')],
    ['a mark before it', `\ufeff${body}`],
    ['no model', JSON.stringify({ ...good, model: undefined })],
    ['a model that is a list', JSON.stringify({ ...good, model: ['claude-opus-5-5'] })],
    ['an unknown model', JSON.stringify({ ...good, model: 'claude-unheard-of' })],
    ['a model of everybody’s', JSON.stringify({ ...good, model: '__proto__' })],
    ['a model with a path in it', JSON.stringify({ ...good, model: '../../v1/files' })],
    ['a cap below zero', JSON.stringify({ ...good, max_tokens: -1 })],
    ['a cap of half a token', JSON.stringify({ ...good, max_tokens: 1.5 })],
    ['a cap beyond numbers', body.replace('"max_tokens":500', '"max_tokens":1e999')],
    ['a cap in words', JSON.stringify({ ...good, max_tokens: '500' })],
    ['two caps', body.replace('"max_tokens":500', '"max_tokens":5,"max_tokens":500000')],
    ['two caps, one in disguise', body.replace('"max_tokens":500', '"max_tokens":5,"max\\u005ftokens":500000')],
  ]
  for (const [what, sent] of bodies) {
    const heard = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body: sent })
    assert.equal(heard.status, 403, `${what}: ${heard.body.toString()}`)
    const { type, error } = JSON.parse(heard.body.toString()) as { type: string; error: { message: string } }
    assert.deepEqual([type, typeof error.message], ['error', 'string'], what)
  }
  const stray = await stage.enter(dialect)
  const second = JSON.stringify({ ...good, model: 'gpt-6-sol' })
  assert.equal((await tell(stage.gateway, { path, headers: { 'x-api-key': stray.key }, body: second })).status, 403)
  assert.deepEqual(stage.provider.arrived, [])
  await goesOn(stage, key, 'after all of them')
  const nested = await tell(stage.gateway, { path, headers: { 'x-api-key': key }, body: deep })
  assert.ok([200, 403].includes(nested.status), 'and deep nesting is no crash')
  await goesOn(stage, key, 'after that')
})
