// The least that any process in between costs: `gateway-bare.mjs relay URL` copies bytes, `hop URL` asks and answers by node:http, and neither does
// anything else. Says its port, ends with its stdin.
import { Agent, createServer, request } from 'node:http'
import { connect, createServer as createRelay } from 'node:net'

const [program, target] = process.argv.slice(2)
const { hostname: host, port } = new URL(target)
process.stdin.on('end', () => process.exit()).resume()

const relay = () =>
  createRelay({ noDelay: true }, (near) => {
    const far = connect({ host, port, noDelay: true })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ])
      from
        .on('data', (bytes) => to.write(bytes))
        .on('end', () => to.end())
        .on('error', () => to.destroy())
  })

const hop = () => {
  const agent = new Agent({ keepAlive: true })
  return createServer((asked, answer) => {
    const { host: _, ...headers } = asked.headers
    const asking = request({ host, port, agent, method: asked.method, path: asked.url, headers }, (heard) => {
      answer.writeHead(heard.statusCode, heard.headers)
      answer.flushHeaders()
      heard.pipe(answer)
    })
    asked.pipe(asking.on('error', () => answer.destroy()))
  })
}

const server = (program === 'relay' ? relay : hop)()
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
