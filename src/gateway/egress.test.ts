import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer, request as requestHttp, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer as createTcp, type LookupFunction, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { realWorld } from '../host/world.ts'
import { readHello } from './client-hello.ts'
import { type Allowed, type EgressPorts, openEgress } from './egress.ts'
import { proxyEnvOf, proxyFor } from './proxy.ts'

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port

/** Every name is this machine, where the tests' registries are. */
const here: LookupFunction = (_name, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)

/** A registry on loopback that says what it was asked, an echo that speaks any protocol, and the way to them. */
async function setStage(allowed: (http: number, tcp: number) => Partial<Allowed>, more: Partial<EgressPorts> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'eg-'))
  const asked: string[] = []
  const http = createServer((request, response) => {
    asked.push(`${request.method} ${request.headers.host}${request.url} ${JSON.stringify(request.headers)}`)
    request.resume().on('end', () => response.end('a package'))
  })
  const echo = createTcp((socket) => socket.on('error', () => {}).pipe(socket))
  await Promise.all(
    [http, echo].map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))),
  )
  const egress = await openEgress(
    { world: realWorld(), folder, proxy: null, resolve: here, ...more },
    { operator: [], repository: [], ...allowed(portOf(http), portOf(echo)) },
  )
  return {
    egress,
    asked,
    http: portOf(http),
    tcp: portOf(echo),
    async [Symbol.asyncDispose]() {
      await egress[Symbol.asyncDispose]()
      http.closeAllConnections()
      await Promise.all([http, echo].map((server) => new Promise<void>((done) => server.close(() => done()))))
      rmSync(folder, { recursive: true })
    },
  }
}

type Heard = { status: number; text: string }

const ask = (socketPath: string, method: string, path: string, body = ''): Promise<Heard> =>
  new Promise((resolve, reject) => {
    const headers = { host: 'elsewhere.test', 'content-length': body.length }
    const request = requestHttp({ socketPath, method, path, headers, agent: false }, (response) =>
      resolve(hear(response)),
    )
    request.on('error', reject)
    request.end(body)
  })

async function hear(response: IncomingMessage): Promise<Heard> {
  let text = ''
  for await (const part of response.setEncoding('utf8') as AsyncIterable<string>) text += part
  return { status: response.statusCode!, text }
}

/** Sends CONNECT, then `bytes`; answers everything that came until the connection ended or `enough` was there. */
const tunnel = (
  path: string | number,
  target: string,
  bytes: Buffer,
  enough: number,
  headers = '',
  onText: (text: string) => void = () => {},
): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket: Socket = typeof path === 'number' ? connect(path, '127.0.0.1') : connect(path)
    let text = ''
    socket.on('error', reject)
    socket.on('data', (part: Buffer) => {
      if (text === '' && part.toString('latin1').startsWith('HTTP/1.1 200')) socket.write(bytes)
      text += part.toString('latin1')
      onText(text)
      if (text.split('\r\n\r\n')[1]!.length >= enough) socket.destroy()
    })
    socket.on('close', () => resolve(text))
    socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${headers}\r\n`)
  })

const two = (length: number) => Buffer.from([length >> 8, length & 255])

/** What a TLS client says first, for a name or for none; `hidden`: with the name it means encrypted beside it. In records of so many bytes. */
function helloFor(name: string | null, { hidden = false, recordBytes = 16_384 } = {}): Buffer {
  const said =
    name === null
      ? []
      : [two(0), two(name.length + 5), two(name.length + 3), Buffer.from([0]), two(name.length), Buffer.from(name)]
  const extensions = Buffer.concat([
    two(43),
    two(3),
    Buffer.from([2, 3, 4]),
    ...said,
    ...(hidden ? [two(0xfe0d), two(1), Buffer.from([0])] : []),
  ])
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0]),
    two(2),
    two(0x1301),
    Buffer.from([1, 0]),
    two(extensions.length),
    extensions,
  ])
  const message = Buffer.concat([Buffer.from([1, 0]), two(body.length), body])
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += recordBytes) {
    const part = message.subarray(at, at + recordBytes)
    records.push(Buffer.from([0x16, 3, 1]), two(part.length), part)
  }
  return Buffer.concat(records)
}

const hello = helloFor('registry.test')

test('an allowed registry answers GET and HEAD, and each host and byte is counted', async () => {
  await using stage = await setStage((http) => ({ operator: [`registry.test:${http}`] }))
  const { egress, http, asked } = stage
  const url = `http://registry.test:${http}/left-pad?x=1`
  assert.deepEqual(await ask(egress.socket, 'GET', url), { status: 200, text: 'a package' })
  assert.equal((await ask(egress.socket, 'HEAD', url)).status, 200)
  assert.deepEqual(
    asked.map((each) => each.split(' ').slice(0, 2).join(' ')),
    [`GET registry.test:${http}/left-pad?x=1`, `HEAD registry.test:${http}/left-pad?x=1`],
  )
  assert.deepEqual(egress.reached(), [
    { host: `registry.test:${http}`, connections: 2, bytesIn: 9, bytesOut: 0, denied: null },
  ])
  assert.equal(statSync(egress.socket).mode & 0o777, 0o600)
})

test('another host, another port and every other method are refused with the setting that could allow them, and nothing arrives', async () => {
  await using stage = await setStage((http) => ({ operator: [`registry.test:${http}`] }))
  const { egress, http, asked } = stage
  const refused = await Promise.all([
    ask(egress.socket, 'GET', `http://other.test:${http}/`),
    ask(egress.socket, 'GET', `http://registry.test:${http + 1}/`),
    ask(egress.socket, 'GET', `http://127.0.0.1:${http}/`),
    ...['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].map((method) =>
      ask(egress.socket, method, `http://registry.test:${http}/`, 'a secret'),
    ),
  ])
  assert.deepEqual(
    refused.map(({ status, text }) => [status, text.includes('setup.hosts')]),
    refused.map(() => [403, true]),
  )
  assert.deepEqual(asked, [])
  assert.match((await ask(egress.socket, 'POST', `http://registry.test:${http}/`)).text, /only GET and HEAD/)
  assert.equal((await ask(egress.socket, 'GET', '/no-proxy-request')).status, 400)
  assert.equal(egress.reached().find(({ host }) => host.startsWith('other'))?.denied, 'is not among the registries')
})

test('a body sent with GET goes nowhere', async () => {
  await using stage = await setStage((http) => ({ operator: [`registry.test:${http}`] }))
  const { egress, http, asked } = stage
  await ask(egress.socket, 'GET', `http://registry.test:${http}/`, 'a secret')
  assert.equal(asked.length, 1)
  assert.doesNotMatch(asked[0]!, /content-length|transfer-encoding/)
})

test('a tunnel is made to an allowed host alone, and only TLS passes', async () => {
  await using stage = await setStage((_http, tcp) => ({ operator: [`registry.test:${tcp}`] }))
  const { egress, tcp } = stage
  const passed = await tunnel(egress.socket, `registry.test:${tcp}`, hello, hello.length)
  assert.equal(passed, `HTTP/1.1 200 Connection established\r\n\r\n${hello.toString('latin1')}`)
  assert.match(await tunnel(egress.socket, `other.test:${tcp}`, hello, 1e6), /^HTTP\/1.1 403 .*setup\.hosts/s)
  assert.match(await tunnel(egress.socket, 'registry.test:443', hello, 1e6), /^HTTP\/1.1 403/)
  const plain = await tunnel(egress.socket, `registry.test:${tcp}`, Buffer.from('POST / HTTP/1.1\r\n\r\n'), 1e6)
  assert.equal(plain, 'HTTP/1.1 200 Connection established\r\n\r\n')
  assert.deepEqual(egress.reached()[0], {
    host: `registry.test:${tcp}`,
    connections: 2,
    bytesIn: hello.length,
    bytesOut: hello.length,
    denied: 'was spoken to without TLS',
  })
})

test('a tunnel to one place leads to no other behind the same address', async () => {
  await using stage = await setStage((_http, tcp) => ({ operator: [`registry.test:${tcp}`, `127.0.0.1:${tcp}`] }))
  const { egress, tcp } = stage
  const through = async (bytes: Buffer, target = `registry.test:${tcp}`) => {
    const heard = await tunnel(egress.socket, target, bytes, bytes.length)
    return heard.split('\r\n\r\n')[1] === bytes.toString('latin1')
  }
  const cases: [string, Buffer, boolean][] = [
    ['its own name', hello, true],
    ['in other letters', helloFor('Registry.TEST'), true],
    ['piece by piece', helloFor('registry.test', { recordBytes: 7 }), true],
    ['another name', helloFor('evil.test'), false],
    ['a name below it', helloFor('evil.registry.test'), false],
    ['a name with a zero byte', helloFor('registry.test\0.evil.test'), false],
    ['no name', helloFor(null), false],
    ['a name beside a hidden one', helloFor('registry.test', { hidden: true }), false],
    ['a length beyond its end', Buffer.concat([hello.subarray(0, 48), Buffer.from([255]), hello.subarray(49)]), false],
    ['another message', Buffer.concat([hello.subarray(0, 5), Buffer.from([2]), hello.subarray(6)]), false],
  ]
  for (const [what, bytes, passes] of cases) assert.equal(await through(bytes), passes, what)
  assert.equal(await through(helloFor(null), `127.0.0.1:${tcp}`), true, 'an address has no name')
  assert.equal(await through(helloFor('evil.test'), `127.0.0.1:${tcp}`), false)
  assert.match(String(egress.reached()[0]!.denied), /without TLS/)
  assert.equal(egress.reached()[1]!.denied, 'was asked for evil.test inside TLS')
})

test('what a real client says first is read, in whatever pieces it comes', async () => {
  const { connect: connectTls } = await import('node:tls')
  const { Duplex } = await import('node:stream')
  const said = Promise.withResolvers<Buffer>()
  const line = new Duplex({ read() {}, write: (chunk: Buffer) => said.resolve(chunk) })
  const client = connectTls({ socket: line, servername: 'registry.test' }).on('error', () => {})
  const bytes = await said.promise
  client.destroy()
  assert.deepEqual(readHello(bytes), { name: 'registry.test' })
  for (let end = 0; end < bytes.length; end += 97) assert.equal(readHello(bytes.subarray(0, end)), 'more', String(end))
  assert.equal(readHello(Buffer.from('GET / HTTP/1.1')), 'no-tls')
  assert.equal(
    readHello(Buffer.concat([Buffer.from([0x16, 3, 1, 255, 255, 1, 255, 255, 255]), Buffer.alloc(70_000)])),
    'no-tls',
  )
})

test('a name that only the repository said does not lead to this machine or its network', async () => {
  await using stage = await setStage((http, tcp) => ({
    repository: [`registry.test:${http}`, `registry.test:${tcp}`, '127.0.0.1'],
  }))
  const { egress, http, tcp, asked } = stage
  const heard = await ask(egress.socket, 'GET', `http://registry.test:${http}/`)
  assert.deepEqual([heard.status, /own network/.test(heard.text)], [502, true])
  assert.match(await tunnel(egress.socket, `registry.test:${tcp}`, hello, 1e6), /^HTTP\/1.1 502 .*own network/s)
  assert.match(await tunnel(egress.socket, '127.0.0.1:443', hello, 1e6), /^HTTP\/1.1 403/)
  assert.deepEqual(asked, [])
})

test('on loopback the way is open only to who knows its word', async () => {
  await using stage = await setStage((http, tcp) => ({
    operator: [`registry.test:${http}`, `registry.test:${tcp}`],
  }))
  const { egress, tcp } = stage
  const { port, username, password } = new URL(egress.url)
  const word = Buffer.from(`${username}:${password}`).toString('base64')
  const known = `proxy-authorization: Basic ${word}\r\n`
  assert.match(await tunnel(Number(port), `registry.test:${tcp}`, hello, 1), /^HTTP\/1.1 407/)
  assert.match(await tunnel(Number(port), `registry.test:${tcp}`, hello, hello.length, known), /^HTTP\/1.1 200/)
})

test('closing the way cuts what is open', async () => {
  await using stage = await setStage((_http, tcp) => ({ operator: [`registry.test:${tcp}`] }))
  let open = Promise.resolve('')
  await new Promise<void>((echoed) => {
    const heard = (text: string) => text.endsWith(hello.toString('latin1')) && echoed()
    open = tunnel(stage.egress.socket, `registry.test:${stage.tcp}`, hello, 1e6, '', heard)
  })
  await stage.egress[Symbol.asyncDispose]()
  assert.match(await open, /^HTTP\/1.1 200/)
})

test('behind a proxy of the network both ways go through it, with its user, and what is excepted does not', async () => {
  const seen: string[] = []
  const corporate = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization']}`)
    response.end('from the proxy')
  })
  corporate.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    seen.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']}`)
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.on('error', () => {}).unshift(head)
    socket.pipe(socket)
  })
  await new Promise<void>((done) => corporate.listen(0, '127.0.0.1', () => done()))
  const url = `http://ada:secret@127.0.0.1:${portOf(corporate)}`
  const basic = `Basic ${Buffer.from('ada:secret').toString('base64')}`
  const proxy = proxyEnvOf({ https_proxy: url, HTTP_PROXY: url, NO_PROXY: 'direct.test' })
  try {
    await using stage = await setStage(
      (http) => ({ operator: ['far.test', `direct.test:${http}`], repository: ['named.test'] }),
      { proxy },
    )
    const { egress, http } = stage
    assert.deepEqual(await ask(egress.socket, 'GET', 'http://far.test/x'), { status: 200, text: 'from the proxy' })
    const named = helloFor('named.test')
    assert.match(await tunnel(egress.socket, 'named.test:443', named, named.length), /named\.test$/)
    assert.equal((await ask(egress.socket, 'GET', `http://direct.test:${http}/`)).text, 'a package')
    assert.deepEqual(seen, [`GET http://far.test/x ${basic}`, `CONNECT named.test:443 ${basic}`])
  } finally {
    corporate.closeAllConnections()
    corporate.close()
  }
})

test('NO_PROXY is read as everybody reads it, and this machine is never asked of a proxy', () => {
  const env = proxyEnvOf({ HTTPS_PROXY: 'http://p:1', no_proxy: '.corp.example, api.example:8443,x.example' })
  const direct = (host: string, port = 443) => proxyFor(env, 'HTTPS_PROXY', host, port) === null
  assert.deepEqual(
    [
      direct('git.corp.example'),
      direct('corp.example'),
      direct('evilcorp.example'),
      direct('api.example', 8443),
      direct('api.example'),
      direct('a.x.example'),
      direct('127.0.0.1'),
      direct('localhost'),
      direct('registry.example'),
    ],
    [true, true, false, true, false, true, true, true, false],
  )
  assert.equal(
    proxyFor(proxyEnvOf({ HTTPS_PROXY: 'http://p:1', NO_PROXY: '*' }), 'HTTPS_PROXY', 'a.example', 443),
    null,
  )
  assert.equal(proxyFor(env, 'HTTP_PROXY', 'registry.example', 80), null)
  assert.equal(proxyEnvOf({ NO_PROXY: '*' }), null)
})
