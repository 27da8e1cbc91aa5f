/**
 * A provider that bills, in a process of its own: it streams as fast as the fastest model believed possible and bills every token it makes, also those
 * made after its client hung up and before it noticed (`lag`). Says its port on stdout; `GET /bill` says what it has billed.
 *
 *     node bench/overshoot-provider.ts LAG_MS TOKENS_PER_STREAM
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { world } from '../test/cli-rig.ts'

const [lagMs = 300, tokensPerStream = 6000] = process.argv.slice(2).map(Number)
/** claude-opus-5-5: nano-dollars a token. */
const [inputRate, outputRate] = [4000, 20_000]
const tokensPerSecond = 400
const tickMs = 25
const inputTokens = 500
/** Of the turn that comes before the long one. */
const firstTurn = 400
const word = 'x'.repeat(40) // ten tokens

let billed = 0
let streams = 0
/** When something was last written to a client that had not hung up, as far as could be seen: milliseconds of the machine's own clock. */
let lastWordMs = 0

const event = (value: { type: string; [field: string]: unknown }): string =>
  `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`

async function speak(response: ServerResponse, tokens: number): Promise<void> {
  streams += 1
  billed += inputTokens * inputRate
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const usage = { input_tokens: inputTokens, output_tokens: 1 }
  response.write(event({ type: 'message_start', message: { id: 'm', type: 'message', role: 'assistant', usage } }))
  response.write(event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }))
  let goneAt: number | null = null
  response.on('close', () => (goneAt = world.clock.mono()))
  const began = world.clock.mono()
  let made = 0
  while (made < tokens && (goneAt === null || world.clock.mono() - goneAt < lagMs)) {
    await world.timer.sleep(tickMs)
    const due = Math.min(tokens, Math.floor(((world.clock.mono() - began) * tokensPerSecond) / 1000))
    for (; made + 10 <= due; made += 10) {
      billed += 10 * outputRate
      if (response.destroyed) continue
      response.write(event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: word } }))
      lastWordMs = Number(process.hrtime.bigint()) / 1e6
    }
    if (due === tokens) break
  }
  if (response.destroyed) return
  response.write(event({ type: 'content_block_stop', index: 0 }))
  response.write(event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: made } }))
  response.end(event({ type: 'message_stop' }))
}

const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  if (request.method === 'GET') return void response.end(JSON.stringify({ billed, streams, lastWordMs }))
  let body = ''
  request.setEncoding('utf8').on('data', (text: string) => (body += text))
  request.on('end', () => void speak(response, body.includes('short') ? firstTurn : tokensPerStream))
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
