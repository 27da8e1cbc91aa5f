/**
 * The proxy this machine's network asks for (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), for the two ways out that we have: requests to providers and
 * set-up's connections to registries. What is on this machine is never asked of it.
 */
import { Agent as HttpAgent, request as requestHttp, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import type { Socket } from 'node:net'
import { Fault } from '../host/fault.ts'
import type { Env } from '../host/path.ts'

/** Never through a proxy, whatever NO_PROXY says. */
const ownHosts = ['localhost', '127.0.0.1', '::1', '[::1]']

export type ProxyEnv = { HTTPS_PROXY?: string; HTTP_PROXY?: string; NO_PROXY: string }

/** The variables that count, either spelling; null where no proxy is named. */
export function proxyEnvOf(env: Env): ProxyEnv | null {
  const said = (name: string) => env[name] || env[name.toLowerCase()] || undefined
  const secure = said('HTTPS_PROXY')
  const plain = said('HTTP_PROXY')
  if (secure === undefined && plain === undefined) return null
  return {
    ...(secure === undefined ? {} : { HTTPS_PROXY: secure }),
    ...(plain === undefined ? {} : { HTTP_PROXY: plain }),
    NO_PROXY: [...ownHosts, said('NO_PROXY') ?? ''].filter(Boolean).join(','),
  }
}

/** The proxy for a host, or null: ask it directly. NO_PROXY as everybody reads it: names and what lies below them, a port where one is written, `*`. */
export function proxyFor(
  env: ProxyEnv | null,
  kind: 'HTTPS_PROXY' | 'HTTP_PROXY',
  host: string,
  port: number,
): URL | null {
  const proxy = env?.[kind]
  if (!env || !proxy || !URL.canParse(proxy)) return null
  const isExcepted = env.NO_PROXY.split(/[\s,]+/).some((each) => {
    if (each === '*') return true
    const [, name = '', named] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(each.toLowerCase()) ?? []
    if (name === '' || (named !== undefined && Number(named) !== port)) return false
    return host === name || host.endsWith(`.${name}`)
  })
  return isExcepted ? null : new URL(proxy)
}

/** A connection that nobody uses is closed after this, or a second before the provider said it would: without the first, Node does not heed the second. */
const longestKeptMs = 60_000

/** Connections that are kept and go through the proxy where there is one. Faults: `proxy-unsupported` on a Node that would go past it in silence. */
export function connectionsThrough(proxy: ProxyEnv | null): { http: HttpAgent; https: HttpsAgent } {
  const options = { keepAlive: true, timeout: longestKeptMs, ...(proxy === null ? {} : { proxyEnv: proxy }) }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (proxy !== null && (major < 24 || (major === 24 && minor < 5)))
    throw new Fault('proxy-unsupported', `Node ${process.versions.node} cannot ask a proxy (HTTPS_PROXY)`, {
      hint: 'use Node 24.5 or newer',
    })
  return { http: new HttpAgent(options), https: new HttpsAgent(options) }
}

/** `Proxy-Authorization` for a proxy whose URL has a user in it. */
export const proxyHeaders = ({ username, password }: URL): Record<string, string> =>
  username === ''
    ? {}
    : {
        'proxy-authorization': `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`,
      }

/** A tunnel to `host:port` through a proxy. Rejects with what the proxy answered. */
export function tunnelThrough(proxy: URL, host: string, port: number): Promise<Socket> {
  const ask = proxy.protocol === 'https:' ? requestHttps : requestHttp
  const place = `${host}:${port}`
  return new Promise((resolve, reject) => {
    const request = ask({
      host: proxy.hostname,
      port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
      method: 'CONNECT',
      path: place,
      headers: { host: place, ...proxyHeaders(proxy) },
      agent: false,
    })
    request.on('connect', (response: IncomingMessage, socket: Socket, head: Buffer) => {
      if (response.statusCode !== 200) {
        socket.destroy()
        return reject(new Error(`the proxy ${proxy.host} answered ${response.statusCode} for ${place}`))
      }
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    request.on('error', reject)
    request.end()
  })
}
