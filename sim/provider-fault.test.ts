import assert from 'node:assert/strict'
import { test } from 'node:test'
import { askOne, asks, names, withProvider } from './provider-rig.ts'
import type { Provider } from './provider.ts'

test('an ordered status comes after those let through, so often as told, with its headers and body', () =>
  withProvider(
    async (provider) => {
      const got: unknown[] = []
      for (let count = 0; count < 4; count++) {
        const { status, headers, text } = await askOne(provider)
        got.push([status, headers['retry-after'] ?? null, status === 200 ? null : JSON.parse(text)])
      }
      assert.equal((await askOne(provider, 'gemini')).status, 200, 'another path is not meant')
      const limited = [429, '7', { custom: true }]
      assert.deepEqual(got, [[200, null, null], limited, limited, [200, null, null]])
      assert.deepEqual(
        provider.requests.map((one) => one.fault),
        [null, 'status', 'status', null, null],
      )
    },
    {
      faults: [
        {
          match: '^POST .*/messages$',
          status: 429,
          after: 1,
          times: 2,
          headers: { 'retry-after': '7' },
          body: { custom: true },
        },
      ],
    },
  ))

test('a fault meant for one family leaves the others alone', () =>
  withProvider(
    async (provider) => {
      const got = await Promise.all(names.map((name) => askOne(provider, name)))
      assert.deepEqual(
        got.map((one) => one.status),
        [200, 529, 529, 200],
      )
    },
    { faults: [{ family: 'openai', status: 529 }] },
  ))

/** Reads what comes until it ends, breaks, or `enough` of it is there; then goes away. */
async function readSome(
  provider: Provider,
  which: string,
  stream: boolean,
  enough: (text: string) => boolean,
  words = 'the task',
) {
  const [path, body] = asks(words, stream)[which] ?? ['', {}]
  const stop = new AbortController()
  let text = ''
  let left = false
  try {
    const response = await fetch(provider.url + path, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: stop.signal,
    })
    const decoder = new TextDecoder()
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true })
      if (!enough(text)) continue
      left = true
      stop.abort()
    }
    return { text, end: 'whole' }
  } catch {
    return { text, end: left ? 'left' : 'broken' }
  }
}

const never = () => false

test('reset, cut and an error in the stream break an answer where they should, streamed or not', async () => {
  for (const name of names) {
    await withProvider(async (provider) => {
      const whole = (await askOne(provider, name)).text
      provider.setFaults([{ action: 'reset' }])
      assert.deepEqual(await readSome(provider, name, true, never), { text: '', end: 'broken' })
      provider.setFaults([{ action: 'cut' }])
      const half = await readSome(provider, name, true, never)
      assert.equal(half.end, 'broken')
      assert.ok(half.text.length > 0 && half.text.length < whole.length && whole.startsWith(half.text), name)
      const part = await readSome(provider, name, false, never)
      assert.equal(part.end, 'broken')
      assert.throws(() => JSON.parse(part.text) as unknown)
      provider.setFaults([{ action: 'error-event', status: 429 }])
      const failed = await readSome(provider, name, true, never)
      assert.equal(failed.end, 'whole')
      assert.match(failed.text, /rate_limit|RESOURCE_EXHAUSTED/)
      assert.deepEqual(
        provider.requests.map(({ fault, status, ended }) => [fault, status, ended]),
        [
          [null, 200, 'finished'],
          ['reset', 0, 'cut'],
          ['cut', 200, 'cut'],
          ['cut', 200, 'cut'],
          ['error-event', 200, 'finished'],
        ],
      )
    })
  }
})

test('a hang gives nothing, a hang in the middle the first frame, and a client that leaves is seen', async () => {
  const ended: unknown[] = []
  const both = Promise.withResolvers<void>()
  await withProvider(
    async (provider, world) => {
      const stalled = await readSome(provider, 'messages', true, (text) => text.endsWith('\n\n'), 'stall')
      assert.deepEqual(
        [stalled.text.includes('message_start'), stalled.text.includes('content_block'), stalled.end],
        [true, false, 'left'],
      )
      provider.setFaults([{ action: 'hang' }])
      const stop = new AbortController()
      const asked = fetch(`${provider.url}/v1/messages`, { method: 'POST', body: '{}', signal: stop.signal })
      while (provider.requests.length < 2) await world.settle()
      stop.abort()
      await assert.rejects(asked)
      await both.promise
    },
    {
      log: (record) => {
        ended.push([record.fault, record.status, record.ended])
        if (ended.length === 2) both.resolve()
      },
    },
  )
  assert.deepEqual(ended, [
    ['midhang', 200, 'cut'],
    ['hang', 0, 'cut'],
  ])
})

test('a slow answer waits before each frame, by the clock of its world', () =>
  withProvider(
    async (provider, world) => {
      const asked = askOne(provider)
      let settled = false
      void asked.then(() => (settled = true))
      let waits = 0
      while (!settled) {
        await world.settle()
        if (world.pending() > 0) {
          waits++
          await world.advance(500)
        }
      }
      const frames = (await asked).text.split('\n\n').length - 1
      assert.deepEqual([waits, world.clock.mono()], [frames, frames * 500])
    },
    { faults: [{ action: 'slow', delayMs: 500 }] },
  ))
