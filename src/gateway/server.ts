/**
 * Where agents connect: one TCP port on loopback, where the key says which attempt it is, and one unix socket for each attempt, where the key must
 * be that attempt's. It checks the key before it reads anything else of a request, and answers everything that is no model request with a denial.
 */
import { chmodSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { hashKey } from '../store/ledger.ts'
import { answerOf, send } from './answer.ts'
import { exchange } from './exchange.ts'
import { presentedKey } from './header.ts'
import type { Live } from './live.ts'
import { dialectNear, routeOf, speaks, type Dialect, type Route } from './route.ts'
import type { Wiring } from './wiring.ts'

type Find = (keyHash: string) => Live | undefined

/** Codex sends its whole turn's description in one header. */
const maxHeaderSize = 64 * 1024

/** Listens on a free loopback port. */
export async function listenTcp(wiring: Wiring, find: Find): Promise<{ server: Server; url: string }> {
  const server = newServer(wiring, find)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', () => resolve()))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Listens on an attempt's own socket. The folder is 0700, so nobody can come in before the mode is set. */
export async function listenSocket(wiring: Wiring, path: string, owner: Live): Promise<Server> {
  const server = newServer(wiring, (hash) => (owner.keyHash === hash ? owner : undefined), owner)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, () => resolve()))
  chmodSync(path, 0o600)
  return server
}

/** Closes it and every connection to it; Node removes a unix socket's file. */
export const stopServer = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })

function newServer(wiring: Wiring, find: Find, owner: Live | null = null): Server {
  const { headersMs, requestMs } = wiring.timeouts
  const server = createServer({
    maxHeaderSize,
    headersTimeout: headersMs,
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.min(5000, headersMs),
    keepAliveTimeout: 60_000,
  })
  server.on('request', (request, response) => {
    void serve(wiring, find, owner, request, response).catch((error: unknown) => {
      wiring.emit({ type: 'gateway.failed', attempt: owner?.grant.attempt ?? null, error: String(error) })
      response.destroy()
    })
  })
  for (const name of ['upgrade', 'connect'] as const)
    server.on(name, (_request: IncomingMessage, socket: Duplex) => refuseSocket(socket))
  return server
}

/** WebSockets and tunnels: Codex tries one first and must hear no at once. */
function refuseSocket(socket: Duplex): void {
  socket.on('error', () => socket.destroy())
  socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
}

async function serve(
  wiring: Wiring,
  find: Find,
  owner: Live | null,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.on('error', () => response.destroy())
  const target = request.url ?? '/'
  const route = routeOf(request.method ?? '', target)
  if (route?.kind === 'hello') {
    response.writeHead(200).end() // Claude Code asks whether anyone is there, without a key
    return
  }
  const deny = (live: Live | null | undefined, refused: string, why: string): void => {
    const attempt = live?.grant.attempt ?? null
    wiring.emit({ type: 'request.denied', attempt, refused, why, model: null })
    send(response, answerOf(route?.dialect ?? dialectNear(target), 'denied', why))
  }
  const key = presentedKey(request)
  const live = key === null ? undefined : find(hashKey(key))
  if (key === null || !live || live.revoked) return deny(owner, 'key-unknown', 'this key is not valid here')
  if (!route) return deny(live, 'path-denied', 'this path is not served')
  const spoken = dialectFor(route, live)
  if (!spoken) return deny(live, 'dialect-denied', `models of ${live.grant.family} are not asked this way`)
  await exchange({ wiring, live, route: { ...route, dialect: spoken }, key }, request, response)
}

/** `GET /v1/models` is the same path for two dialects: the family says which is meant. */
function dialectFor(route: Route, live: Live): Dialect | null {
  const { family } = live.grant
  if (route.kind === 'models')
    return family === 'google' ? null : family === 'anthropic' ? 'anthropic-messages' : 'openai-chat'
  return speaks(family, route.dialect) ? route.dialect : null
}
