/** A network that lets nobody out but through its proxy and looks into TLS with a certificate of its own: what reaches a provider from there. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage } from 'node:http'
import { createServer as createHttps } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { capture } from '../host/process.ts'
import { realWorld } from '../host/world.ts'
import { selfSigned } from './certificate.ts'

/** What the gateway does for one request, in a process of its own: certificates are read when Node starts. */
const asking = `
  import { ask } from '${join(import.meta.dirname, 'upstream.ts')}'
  import { connectionsThrough, proxyEnvOf } from '${join(import.meta.dirname, 'proxy.ts')}'
  import { defaultTimeouts } from '${join(import.meta.dirname, 'wiring.ts')}'
  import { realWorld } from '${join(import.meta.dirname, '../host/world.ts')}'
  const agents = connectionsThrough(proxyEnvOf(process.env))
  const wiring = { world: realWorld(), timeouts: defaultTimeouts, agents }
  const ended = []
  for (const url of process.argv.slice(1)) {
    const reply = await ask(wiring, { method: 'POST', url: new URL(url), headers: { 'x-api-key': 'k' }, body: Buffer.from('{}') }, () => {}, () => false)
    if ('error' in reply) { console.log('error', reply.sent, reply.error.code ?? reply.error.message); continue }
    let text = ''
    for await (const part of reply.response) text += part
    console.log(reply.response.statusCode, text)
  }
  agents.https.destroy(); agents.http.destroy()
`

async function setStage() {
  const folder = mkdtempSync(join(tmpdir(), 'corporate-'))
  const { key, cert } = selfSigned('provider.test')
  writeFileSync(join(folder, 'ca.pem'), cert)
  const provider = createHttps({ key, cert }, (request, response) => {
    request.resume().on('end', () => response.end(`${request.headers.host} ${String(request.headers['x-api-key'])}`))
  })
  const plain = createHttp((request, response) => void request.resume().on('end', () => response.end('direct')))
  const tunnels: string[] = []
  const proxy = createHttp((_request, response) => response.end('through the proxy'))
  proxy.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    tunnels.push(`${request.url} ${request.headers['proxy-authorization']}`)
    if (request.url !== 'provider.test:443') return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    const outer = connect((provider.address() as AddressInfo).port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      outer.write(head)
      socket.pipe(outer).pipe(socket)
    })
    for (const each of [socket, outer]) each.on('error', () => {})
  })
  const servers = [provider, plain, proxy]
  await Promise.all(servers.map((each) => new Promise<void>((done) => each.listen(0, '127.0.0.1', () => done()))))
  const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port
  return {
    folder,
    tunnels,
    plainUrl: `http://127.0.0.1:${portOf(plain)}/v1`,
    env: { HTTPS_PROXY: `http://ada:pw@127.0.0.1:${portOf(proxy)}`, HTTP_PROXY: `http://127.0.0.1:${portOf(proxy)}` },
    async ask(env: Record<string, string>, ...urls: string[]) {
      const args = ['--input-type=module', '-e', asking, ...urls]
      const { stdout, stderr } = await capture(realWorld().spawn, { file: process.execPath, args, cwd: folder, env })
      return stdout === '' ? stderr : stdout.trim().split('\n')
    },
    async [Symbol.asyncDispose]() {
      for (const each of servers) each.closeAllConnections()
      await Promise.all(servers.map((each) => new Promise<void>((done) => each.close(() => done()))))
      rmSync(folder, { recursive: true })
    },
  }
}

const providerUrl = 'https://provider.test/v1/messages'

test('a provider is reached through HTTPS_PROXY, with its user, under the certificate NODE_EXTRA_CA_CERTS names; loopback is asked directly', async () => {
  await using stage = await setStage()
  const env = { ...stage.env, NODE_EXTRA_CA_CERTS: join(stage.folder, 'ca.pem') }
  assert.deepEqual(await stage.ask(env, providerUrl, providerUrl, stage.plainUrl), [
    '200 provider.test k',
    '200 provider.test k',
    '200 direct',
  ])
  const basic = `Basic ${Buffer.from('ada:pw').toString('base64')}`
  assert.deepEqual(stage.tunnels, [`provider.test:443 ${basic}`]) // one connection, kept for the second request
})

test('without that certificate, and where the proxy says no, nothing is sent and the reason is the connection', async () => {
  await using stage = await setStage()
  assert.deepEqual(await stage.ask(stage.env, providerUrl), ['error false DEPTH_ZERO_SELF_SIGNED_CERT'])
  const refused = await stage.ask(stage.env, 'https://elsewhere.test/v1')
  assert.match(String(refused), /^error false /)
  assert.equal(stage.tunnels.length, 2)
})
