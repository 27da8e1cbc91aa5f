// The provider of bench gateway: answers with as many events as the request's model says, each with the moment it was sent. A process of its own.
import { createServer } from 'node:http'

const now = () => process.hrtime.bigint().toString()
const named = (event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    const events = Number(request.headers['x-events'] ?? 100)
    const gapMs = Number(request.headers['x-gap'] ?? 10)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const usage = { input_tokens: 100, output_tokens: 1 }
    response.write(
      named({
        type: 'message_start',
        message: { id: 'msg_1', type: 'message', role: 'assistant', content: [], usage },
      }),
    )
    response.write(named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }))
    let left = events
    const timer = setInterval(() => {
      if (left-- > 0)
        return void response.write(
          named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ` t${now()} ` } }),
        )
      clearInterval(timer)
      response.write(named({ type: 'content_block_stop', index: 0 }))
      response.write(
        named({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: events } }),
      )
      response.end(named({ type: 'message_stop' }))
    }, gapMs)
    response.on('close', () => clearInterval(timer))
  })
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
process.stdin.on('end', () => process.exit()).resume()
