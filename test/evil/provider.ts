/** The loopback provider at a port that is known before: in a container there is nobody else to take it. usage: node provider.ts PORT RULES */
import { connect, createServer } from 'node:net'
import { startProvider } from '../../sim/provider.ts'
import type { Rule } from '../../sim/scenario.ts'
import { realWorld } from '../../src/host/world.ts'

const [port, rules = '[]'] = process.argv.slice(2)
const provider = await startProvider({ world: realWorld(), scenario: { rules: JSON.parse(rules) as Rule[] } })
createServer((inner) => {
  const outer = connect(provider.port, '127.0.0.1')
  inner.on('error', () => outer.destroy())
  outer.on('error', () => inner.destroy())
  inner.pipe(outer).pipe(inner)
}).listen(Number(port), '127.0.0.1')
