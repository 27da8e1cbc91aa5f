/** Networks a newcomer sits in: one that lets nobody out but through a proxy with a login and looks into TLS, and one whose answers wait. */
import { writeFile } from 'node:fs/promises'
import { createServer, request as ask, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTls } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { selfSigned } from '../../src/gateway/certificate.ts'

const portOf = (server: Server): number => (server.address() as AddressInfo).port

const listen = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => void server.once('error', reject).listen(0, '127.0.0.1', resolve))

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** Hands a request on to the provider, and its answer back. */
const handOn =
  (url: string): RequestListener =>
  (incoming, outgoing) => {
    const { method, headers } = incoming
    const onward = ask(new URL(incoming.url ?? '/', url), { method: method ?? 'GET', headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  }

/** A program that has a port of this machine, and answers everything with a page. */
export async function occupant(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((_, response) => response.writeHead(404).end('<!doctype html><title>Not here</title>'))
  await listen(server)
  return { port: portOf(server), [Symbol.asyncDispose]: () => close(server) }
}

/** `baseUrl` is reached through the proxy alone, under a certificate written to `certificate`. */
export async function corporate(
  providerUrl: string,
  certificate: string,
  login: string,
): Promise<AsyncDisposable & { baseUrl: string; proxy: string }> {
  const host = 'provider.test'
  const { key, cert } = selfSigned(host)
  await writeFile(certificate, cert)
  const inside = createTls({ key, cert }, handOn(providerUrl))
  const proxy = createServer((_, response) => response.writeHead(403).end())
  const wanted = `Basic ${Buffer.from(login).toString('base64')}`
  const tunnels = new Set<Socket>() // no longer connections of the server once they are tunnels
  proxy.on('connect', ({ headers, url }: IncomingMessage, socket: Socket, head: Buffer) => {
    tunnels.add(socket.on('error', () => {}))
    if (headers['proxy-authorization'] !== wanted)
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n')
    if (url !== `${host}:443`) return void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    const outer = connect(portOf(inside), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      outer.write(head)
      socket.pipe(outer).pipe(socket)
    })
    outer.on('error', () => socket.destroy())
  })
  await listen(inside)
  await listen(proxy)
  return {
    baseUrl: `https://${host}`,
    proxy: `127.0.0.1:${portOf(proxy)}`,
    async [Symbol.asyncDispose]() {
      for (const each of tunnels) each.destroy()
      await close(inside)
      await close(proxy)
    },
  }
}

/** A way to the provider on which the first request waits until the door is opened. */
export async function door(
  providerUrl: string,
): Promise<AsyncDisposable & { url: string; arrived: Promise<void>; open(): void }> {
  const arrived = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  const pass = handOn(providerUrl)
  const server = createServer((incoming, outgoing) => {
    arrived.resolve()
    void opened.promise.then(() => pass(incoming, outgoing))
  })
  await listen(server)
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    arrived: arrived.promise,
    open: () => opened.resolve(),
    [Symbol.asyncDispose]: () => close(server),
  }
}
