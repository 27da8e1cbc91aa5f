/** One request to a provider: connects, sends, waits for the answer's head. Follows no redirect. */
import {
  request as requestHttp,
  type Agent as HttpAgent,
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http'
import { request as requestHttps } from 'node:https'
import type { Wiring } from './wiring.ts'

export type Outgoing = { method: string; url: URL; headers: OutgoingHttpHeaders; body: Buffer }

export type Reply =
  | { response: IncomingMessage }
  /** `sent`: a connection stood, so the provider may have begun to work. */
  | { error: Error; sent: boolean }

/** A connection that was closed before we used it says so within the way there and back; later than this the provider may be at work on the request. */
const staleMs = 1000

/** `begun` is called with each request made, so that it can be aborted; `isOver`: it was. Never rejects. */
export async function ask(
  wiring: Wiring,
  outgoing: Outgoing,
  begun: (request: ClientRequest) => void,
  isOver: () => boolean,
): Promise<Reply> {
  const first = await askOnce(wiring, outgoing, begun)
  if (!('stale' in first && first.stale) || isOver()) return first
  // A connection kept alive that the provider closed just as we used it: it has not read the request (Node: ClientRequest.reusedSocket).
  closeKept(outgoing.url.protocol === 'https:' ? wiring.agents.https : wiring.agents.http)
  return askOnce(wiring, outgoing, begun)
}

/** The one used last is taken first, so if that was stale, all others are. */
function closeKept({ freeSockets }: HttpAgent): void {
  for (const sockets of Object.values(freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

function askOnce(
  wiring: Wiring,
  { method, url, headers, body }: Outgoing,
  begun: (request: ClientRequest) => void,
): Promise<Reply & { stale?: boolean }> {
  const secure = url.protocol === 'https:'
  const options = { method, headers, agent: secure ? wiring.agents.https : wiring.agents.http }
  return new Promise((resolve) => {
    let sent = false
    const began = wiring.world.clock.mono()
    const request = secure ? requestHttps(url, options) : requestHttp(url, options)
    const giveUp = wiring.world.timer.after(wiring.timeouts.connectMs, () =>
      request.destroy(new Error('the provider did not answer the connection')),
    )
    request.on('socket', (socket) => {
      const connected = () => {
        sent = true
        giveUp()
      }
      if (socket.connecting) socket.once(secure ? 'secureConnect' : 'connect', connected)
      else connected()
    })
    request.on('response', (response) => resolve({ response }))
    request.on('error', (error: NodeJS.ErrnoException) => {
      giveUp()
      const isReset = error.code === 'ECONNRESET' || error.code === 'EPIPE'
      const stale = request.reusedSocket && isReset && wiring.world.clock.mono() - began < staleMs
      resolve({ error, sent, stale })
    })
    request.on('close', () => resolve({ error: new Error('the connection ended without an answer'), sent })) // as after a 101
    begun(request)
    request.end(body)
  })
}
