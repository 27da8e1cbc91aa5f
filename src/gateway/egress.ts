/**
 * The way of dependency set-up to its registries, and of nothing else: a proxy on a socket that only one set-up step is given.
 *
 *     set-up ──CONNECT host:443──▶ allowed? ──▶ bytes, counted, which must begin as TLS for that host does
 *            ──GET http://host/──▶ allowed, and GET or HEAD? ──▶ answer, counted
 *
 * What is not allowed is answered 403, remembered and said. Inside TLS nothing is seen: which host is known, the method is not. A host that only a
 * repository named is not followed to this machine or its own network.
 */
import { chmodSync } from 'node:fs'
import { createServer, request as requestHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { lookup, type LookupAddress } from 'node:dns'
import { type AddressInfo, BlockList, connect, isIP, type LookupFunction, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { mayReach } from '../core/registry.ts'
import type { World } from '../host/world.ts'
import { type Hello, readHello } from './client-hello.ts'
import { type ProxyEnv, proxyFor, proxyHeaders, tunnelThrough } from './proxy.ts'

/** What may be reached: what the operator named, and what the repository's programs and lockfiles ask. */
export type Allowed = { operator: readonly string[]; repository: readonly string[] }

/** One place that was reached, or asked for in vain. */
type Reached = { host: string; connections: number; bytesIn: number; bytesOut: number; denied: string | null }

export type OpenEgress = AsyncDisposable & {
  /** 0600, in a folder of our own. */
  socket: string
  /** For the rung without a network of its own: loopback, with a word in it that only this set-up knows. */
  url: string
  reached(): Reached[]
}

export type EgressPorts = {
  world: World
  /** Folder of sockets, 0700. */
  folder: string
  proxy: ProxyEnv | null
  /** How names become addresses. */
  resolve?: LookupFunction
}

/** For a connection to a registry to be made. */
const connectMs = 20_000
/** Without a byte in either direction. */
const idleMs = 120_000
/** More places than this are counted, not listed. */
const mostPlaces = 200

const ownNetworks = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const)
  ownNetworks.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of [
  ['::', 127],
  ['fc00::', 7],
  ['fe80::', 10],
] as const)
  ownNetworks.addSubnet(net, bits, 'ipv6')

type Way = EgressPorts & { allowed: Allowed; places: Map<string, Reached>; word: string; open: Set<Duplex> }

/** Opens the way for one set-up step; disposing it cuts what is left. */
export async function openEgress(ports: EgressPorts, allowed: Allowed): Promise<OpenEgress> {
  const way: Way = { ...ports, allowed, places: new Map(), word: ports.world.secret(16), open: new Set() }
  const socket = join(ports.folder, `setup-${ports.world.secret(4)}.sock`)
  const onSocket = serve(way, false)
  const onLoopback = serve(way, true)
  await listening(onSocket, (done) => onSocket.listen(socket, done))
  chmodSync(socket, 0o600)
  await listening(onLoopback, (done) => onLoopback.listen(0, '127.0.0.1', done))
  return {
    socket,
    url: `http://setup:${way.word}@127.0.0.1:${(onLoopback.address() as AddressInfo).port}`,
    reached: () => [...way.places.values()].map((each) => ({ ...each })),
    async [Symbol.asyncDispose]() {
      for (const each of way.open) each.destroy()
      await Promise.all([onSocket, onLoopback].map(close))
    },
  }
}

const listening = (server: Server, listen: (done: () => void) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    listen(resolve)
  })

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

function serve(way: Way, needsWord: boolean): Server {
  const server = createServer({ keepAliveTimeout: 30_000 })
  const isKnown = (request: IncomingMessage) =>
    !needsWord ||
    request.headers['proxy-authorization'] === `Basic ${Buffer.from(`setup:${way.word}`).toString('base64')}`
  server.on('request', (request, response) => {
    if (isKnown(request)) return forward(way, request, response)
    answer(response, 407, 'this way is not yours', { 'proxy-authenticate': 'Basic' })
  })
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    way.open.add(socket)
    socket.on('error', () => socket.destroy()).on('close', () => way.open.delete(socket))
    if (isKnown(request)) return void tunnel(way, request.url ?? '', socket, head)
    socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n')
  })
  server.on('upgrade', (_request, socket) => socket.destroy())
  return server
}

function placeOf({ places }: Way, host: string): Reached {
  const name = places.has(host) || places.size < mostPlaces ? host : 'other places'
  const place = places.get(name) ?? { host: name, connections: 0, bytesIn: 0, bytesOut: 0, denied: null }
  places.set(name, place)
  return place
}

/** Why this place may not be reached, or null. */
function judge({ allowed }: Way, host: string, port: number, usualPort: number): string | null {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return 'is no place'
  if (mayReach(allowed.operator, host, port, usualPort)) return null
  if (isIP(host) !== 0 || !mayReach(allowed.repository, host, port, usualPort)) return 'is not among the registries'
  return null
}

const forbidden = (place: string, why: string): string =>
  `tri-agent: ${place} ${why} that set-up may reach; setup.hosts in the operator's settings can allow it\n`

function deny(way: Way, place: string, why: string): void {
  placeOf(way, place).denied = why
}

/** Names that only a repository said are not followed into this machine's own network. */
function resolver({ allowed, resolve }: Way, host: string, port: number, usualPort: number): LookupFunction {
  const find = resolve ?? (lookup as LookupFunction)
  if (mayReach(allowed.operator, host, port, usualPort)) return find
  return (name, options, done) =>
    find(name, options, (error, address, family) => {
      const list: LookupAddress[] =
        typeof address === 'string' ? [{ address, family: family ?? 4 }] : error ? [] : address
      const own = list.find((each) => ownNetworks.check(each.address, each.family === 6 ? 'ipv6' : 'ipv4'))
      if (own === undefined) return done(error, address, family)
      done(Object.assign(new Error(`${name} is ${own.address}, in this machine's own network`), { code: 'EOWN' }), '')
    })
}

async function tunnel(way: Way, target: string, socket: Duplex, head: Buffer): Promise<void> {
  const [, host = '', port = ''] = /^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(\d+)$/.exec(target) ?? []
  const place = placeOf(way, target.slice(0, 200))
  const why = host === '' ? 'is no place' : judge(way, host, Number(port), 443)
  if (why !== null) {
    place.denied = why
    return void socket.end(
      `HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${forbidden(target, why)}`,
    )
  }
  const outer = await dial(way, host, Number(port)).catch((error: Error) => error)
  if (outer instanceof Error) {
    place.denied = outer.message
    return void socket.end(`HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\ntri-agent: ${outer.message}\n`)
  }
  way.open.add(outer)
  outer.on('close', () => {
    way.open.delete(outer)
    socket.destroy()
  })
  outer.on('error', () => socket.destroy())
  socket.on('close', () => outer.destroy())
  if (socket.destroyed) return void outer.destroy()
  place.connections += 1
  outer.setTimeout(idleMs, () => outer.destroy())
  outer.on('data', (bytes: Buffer) => (place.bytesIn += bytes.length))
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  if (head.length > 0) socket.unshift(head)
  let first = Buffer.alloc(0)
  const hear = (part: Buffer): void => {
    first = Buffer.concat([first, part])
    const hello = readHello(first)
    if (hello === 'more') return
    socket.off('data', hear)
    place.denied = judgeHello(hello, host) ?? place.denied
    if (judgeHello(hello, host) !== null) return void socket.destroy()
    place.bytesOut += first.length
    outer.write(first)
    socket.on('data', (bytes: Buffer) => (place.bytesOut += bytes.length))
    socket.pipe(outer).pipe(socket)
  }
  socket.on('data', hear)
}

/** Why what a client says first may not pass, or null: behind the address of an allowed place there may be others. */
function judgeHello(hello: Exclude<Hello, 'more'>, host: string): string | null {
  if (hello === 'no-tls') return 'was spoken to without TLS'
  const { name } = hello
  if (isIP(host.replaceAll(/[[\]]/g, '')) !== 0 && name === null) return null
  if (name !== null && name.toLowerCase() === host.toLowerCase().replace(/\.$/, '')) return null
  return `was asked for ${name === null ? 'no name' : /^[A-Za-z0-9.-]{1,200}$/.test(name) ? name : 'another name'} inside TLS`
}

async function dial(way: Way, host: string, port: number): Promise<Socket> {
  const proxy = proxyFor(way.proxy, 'HTTPS_PROXY', host, port)
  if (proxy) return tunnelThrough(proxy, host, port)
  const socket = connect({ host: host.replaceAll(/[[\]]/g, ''), port, lookup: resolver(way, host, port, 443) })
  return new Promise((resolve, reject) => {
    const giveUp = way.world.timer.after(connectMs, () => socket.destroy(new Error(`${host} did not answer`)))
    socket.once('error', (error) => {
      giveUp()
      reject(error)
    })
    socket.once('connect', () => {
      giveUp()
      resolve(socket)
    })
  })
}

/** Headers between two neighbours only (RFC 9110, 7.6.1), and what would make a request carry a body. */
const hopHeaders = /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-length|expect|proxy-.*)$/

const keep = (headers: IncomingMessage['headers'], more: RegExp = /^$/): IncomingMessage['headers'] =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !hopHeaders.test(name) || more.test(name)))

function answer(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'text/plain', connection: 'close', ...headers }).end(text)
}

function forward(way: Way, request: IncomingMessage, response: ServerResponse): void {
  request.resume() // a body is read and dropped: it goes nowhere
  const { method = '', url: target = '' } = request
  const url = URL.canParse(target) ? new URL(target) : null
  if (url?.protocol !== 'http:') return answer(response, 400, 'tri-agent: this is a proxy for set-up\n')
  const port = Number(url.port || 80)
  const name = url.host.includes(':') ? url.host : `${url.host}:80`
  const why =
    judge(way, url.hostname, port, 80) ??
    (method === 'GET' || method === 'HEAD' ? null : `takes ${method}, and only GET and HEAD are among the methods`)
  if (why !== null) {
    deny(way, name, why)
    return answer(response, 403, forbidden(name, why))
  }
  const place = placeOf(way, name)
  place.connections += 1
  const proxy = proxyFor(way.proxy, 'HTTP_PROXY', url.hostname, port)
  const headers = { ...keep(request.headers), host: url.host } // the client's own could name another place behind the same address
  const outer = requestHttp({
    ...(proxy
      ? {
          host: proxy.hostname,
          port: proxy.port || 80,
          path: url.href,
          headers: { ...headers, ...proxyHeaders(proxy) },
        }
      : {
          host: url.hostname,
          port,
          path: `${url.pathname}${url.search}`,
          headers,
          lookup: resolver(way, url.hostname, port, 80),
        }),
    method,
    agent: false,
    timeout: idleMs,
  })
  outer.on('timeout', () => outer.destroy(new Error('no answer')))
  outer.on('error', (error) => {
    place.denied = error.message
    if (response.headersSent) response.destroy()
    else answer(response, 502, `tri-agent: ${error.message}\n`)
  })
  outer.on('response', (inner) => {
    response.writeHead(inner.statusCode ?? 502, keep(inner.headers, /^content-length$/))
    inner.on('data', (bytes: Buffer) => (place.bytesIn += bytes.length))
    inner.on('error', () => response.destroy())
    inner.pipe(response)
  })
  response.on('close', () => outer.destroy())
  outer.end()
}
