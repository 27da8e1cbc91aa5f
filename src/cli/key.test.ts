import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { listenForLeaving, type Keyboard } from './key.ts'

/** A keyboard whose modes are written down. */
function keyboard(isTTY: boolean) {
  const modes: boolean[] = []
  const stream = new PassThrough()
  const keys = Object.assign(stream, {
    isTTY,
    setRawMode(mode: boolean) {
      modes.push(mode)
      return keys
    },
  }) as unknown as Keyboard
  return { keys, stream, modes }
}

const typed = async (bytes: string): Promise<number> => {
  const { keys, stream } = keyboard(true)
  let left = 0
  const end = listenForLeaving(keys, () => (left += 1))
  const arrived = new Promise((resolve) => stream.once('data', resolve))
  stream.write(bytes)
  await arrived
  end()
  return left
}

test('q, ^C and ^D leave; other keys do not', async () => {
  const answers = await Promise.all(['q', 'Q', '\u0003', '\u0004', 'x', '\r', '\u001b[A'].map(typed))
  assert.deepEqual(answers, [1, 1, 1, 1, 0, 0, 0])
})

test('the terminal is handed back as it was and nothing keeps the program alive', () => {
  const { keys, stream, modes } = keyboard(true)
  const end = listenForLeaving(keys, () => {})
  assert.equal(stream.isPaused(), false)
  end()
  end()
  assert.deepEqual([modes, stream.isPaused(), stream.listenerCount('data')], [[true, false, false], true, 0])
})

test("where stdin is no terminal it is not read: it may be somebody else's", () => {
  const { keys, stream, modes } = keyboard(false)
  listenForLeaving(keys, () => {})()
  assert.deepEqual([modes, stream.listenerCount('data'), stream.readableFlowing], [[], 0, null])
})
