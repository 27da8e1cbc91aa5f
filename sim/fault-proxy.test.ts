/** The proxy that goes wrong on command: what it passes on is what came, and each trouble is seen by a client as what it is, so often as was ordered. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { realWorld } from '../src/host/world.ts'
import { startFaultProxy, wireTroubles, type WireTrouble } from './fault-proxy.ts'

/** Behind it: says back what it was asked, in two pieces. */
async function startEcho() {
  const server = createServer((asked, answer) => {
    const chunks: Buffer[] = []
    asked.on('data', (chunk: Buffer) => chunks.push(chunk))
    asked.on('end', () => {
      answer.writeHead(200, { 'x-path': asked.url! })
      answer.write('heard: ')
      answer.end(Buffer.concat(chunks))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  }
}

/** What a client sees: the status and whole text, or what broke. */
const see = (url: string): Promise<string> =>
  fetch(`${url}/v1/messages`, { method: 'POST', body: 'tea' }).then(
    async (answer) => {
      const began = `${answer.status}${answer.headers.has('retry-after') ? ` in ${answer.headers.get('retry-after')}` : ''}`
      return answer.text().then(
        (text) => (answer.status === 200 ? `${began} ${answer.headers.get('x-path')} ${text}` : began),
        () => `${began} cut`,
      )
    },
    () => 'no answer',
  )

const fine = '200 /v1/messages heard: tea'
const seen: Record<WireTrouble, string> = {
  refuse: 'no answer',
  reset: '200 cut',
  hang: 'no answer',
  '429': '429 in 1',
  '500': '500',
  '529': '529',
}

test('what is not troubled is passed on as it is; each trouble is met as often as it was ordered, and no oftener', async () => {
  await using echo = await startEcho()
  // a hang ends at once: nobody has to wait to see that it does
  const timer = { ...realWorld().timer, after: (_ms: number, fn: () => void) => realWorld().timer.after(0, fn) }
  await using proxy = await startFaultProxy({ timer }, echo.url)
  assert.equal(await see(proxy.url), fine)
  for (const trouble of wireTroubles) {
    proxy.order(trouble, 2)
    const met = [await see(proxy.url), await see(proxy.url), await see(proxy.url)]
    assert.deepEqual(met, [seen[trouble], seen[trouble], fine], trouble)
  }
  assert.equal(proxy.given(), 2 * wireTroubles.length)
  proxy.order('500', 5)
  proxy.calm()
  assert.equal(await see(proxy.url), fine)
})
