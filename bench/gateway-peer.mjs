// What a person would put before a provider instead: `gateway-peer.mjs http-proxy-3 URL` or `portkey URL`. Says its port, ends with its stdin.
import { createServer } from 'node:http'

const [program, target] = process.argv.slice(2)
process.stdin.on('end', () => process.exit()).resume()
if (program === 'http-proxy-3') {
  const { default: proxies } = await import('http-proxy-3')
  const proxy = proxies.createProxyServer({ target })
  proxy.on('error', (_error, _request, response) => response.destroy?.())
  const server = createServer((request, response) => proxy.web(request, response))
  server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
} else {
  // Portkey's gateway has no port 0: it is given one that is free now
  const probe = createServer()
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  process.argv.push(`--port=${port}`, '--headless')
  await import('./node_modules/@portkey-ai/gateway/build/start-server.js')
  process.stdout.write(`${port}\n`)
}
