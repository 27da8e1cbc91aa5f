/** The daemon's health over HTTP: `/livez` (the event loop turns), `/readyz` (it can take work), `/health` (a summary). Loopback by default; nothing else answers here. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Fault } from '../host/fault.ts'

export type Health = { ready: boolean; summary: Record<string, unknown> }

/** Serves until disposed. Faults: `port-in-use`. */
export async function serveHealth(
  host: string,
  port: number,
  health: (whole: boolean) => Promise<Health>,
): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      response.end(`${JSON.stringify(body)}\n`)
    }
    const path = request.url?.split('?')[0]
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, { error: 'only GET' })
    if (path === '/livez') return answer(200, { alive: true })
    if (path !== '/readyz' && path !== '/health') return answer(404, { error: 'try /livez, /readyz or /health' })
    health(path === '/health').then(
      ({ ready, summary }) => answer(ready ? 200 : 503, path === '/readyz' ? { ready } : { ready, ...summary }),
      (error: unknown) => answer(503, { ready: false, error: error instanceof Error ? error.message : String(error) }),
    )
  })
  server.headersTimeout = 5000
  server.requestTimeout = 5000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new Fault('port-in-use', `${host}:${port} is taken by another program`, {
              hint: 'set http: { port: 0 } or another port in the config file',
            })
          : error,
      ),
    )
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  }
}
