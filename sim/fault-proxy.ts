/**
 * A proxy in front of a provider that goes wrong when it is told to: what a network and a provider do to requests, whoever speaks over it.
 *
 *     request ─▶ trouble ordered? ─no─▶ passed on, byte by byte
 *                     └─yes─▶ refused at once · cut after the answer's first bytes · nothing at all for a while · a status of its own
 *
 * It knows no dialect, reads no body, and reaches no other address than the one it stands in front of.
 */
import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { World } from '../src/host/world.ts'

export const wireTroubles = ['refuse', 'reset', 'hang', '429', '500', '529'] as const
export type WireTrouble = (typeof wireTroubles)[number]

export type FaultProxy = AsyncDisposable & {
  url: string
  /** Has so many requests go wrong in this way, after those that were ordered before. */
  order(trouble: WireTrouble, times: number): void
  /** Nothing goes wrong any more. */
  calm(): void
  /** How many requests went wrong so far. */
  given(): number
}

/** A hang that ends: for longer than a client is patient nobody needs to be shown. */
const hangMs = 3000

/** Starts one on 127.0.0.1, any free port, in front of `url`. */
export async function startFaultProxy(world: Pick<World, 'timer'>, url: string): Promise<FaultProxy> {
  const ordered: WireTrouble[] = []
  let given = 0
  const take = (): WireTrouble | null => {
    const trouble = ordered.shift() ?? null
    if (trouble !== null) given += 1
    return trouble
  }
  const server = createServer((asked, answer) => serve(world, url, take(), asked, answer))
  server.requestTimeout = 0
  server.keepAliveTimeout = 0 // closed by dispose, never in the face of a client about to ask again
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    order: (trouble, times) => void ordered.push(...Array.from({ length: times }, () => trouble)),
    calm: () => void ordered.splice(0),
    given: () => given,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function serve(
  { timer }: Pick<World, 'timer'>,
  url: string,
  trouble: WireTrouble | null,
  asked: IncomingMessage,
  answer: ServerResponse,
): void {
  answer.on('error', () => {}) // whoever asked has left
  if (trouble === 'refuse') return void asked.socket.resetAndDestroy()
  if (trouble === 'hang') {
    asked.resume()
    return void answer.once(
      'close',
      timer.after(hangMs, () => asked.socket.resetAndDestroy()),
    )
  }
  if (trouble === '429' || trouble === '500' || trouble === '529') {
    asked.resume()
    const body = JSON.stringify({ type: 'error', error: { type: 'trouble', message: `ordered trouble ${trouble}` } })
    answer.writeHead(Number(trouble), {
      'content-type': 'application/json',
      ...(trouble === '429' ? { 'retry-after': '1' } : {}),
    })
    return void answer.end(body)
  }
  const beyond = ask(url + (asked.url ?? '/'), { method: asked.method ?? 'GET', headers: asked.headers }, (found) => {
    answer.writeHead(found.statusCode ?? 502, found.headers)
    found.on('error', () => answer.destroy())
    if (trouble === 'reset') found.once('data', (chunk) => answer.write(chunk, () => asked.socket.resetAndDestroy()))
    else found.pipe(answer)
  })
  beyond.on('error', () => answer.destroy())
  answer.once('close', () => beyond.destroy())
  asked.pipe(beyond)
}
