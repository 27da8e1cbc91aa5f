import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { askHidden } from './hidden.ts'
import type { Keyboard } from './key.ts'

/** Types these pieces at a hidden prompt: what was answered, everything that was shown, and the modes of the terminal. */
async function typed(...pieces: string[]) {
  const modes: boolean[] = []
  const shown: string[] = []
  const stream = new PassThrough()
  const keyboard = Object.assign(stream, { isTTY: true, setRawMode: (mode: boolean) => (modes.push(mode), keyboard) })
  const asking = askHidden(keyboard as unknown as Keyboard, (text) => shown.push(text), 'Key: ')
  for (const piece of pieces) stream.write(piece)
  const answer = await asking
  return { answer, shown: shown.join(''), modes, listeners: stream.listenerCount('data') }
}

test('what is typed is answered, nothing of it is shown, and the terminal is handed back', async () => {
  const asked = await typed('sk-', 'secret', '\r')
  assert.deepEqual(asked, { answer: 'sk-secret', shown: 'Key: \n', modes: [true, false], listeners: 0 })
})

test('backspace and ^U take back, a paste comes without the marks around it, ^C and ^D leave', async () => {
  const answers = [
    await typed('ab\u007fc\r'),
    await typed('wrong\u0015right\n'),
    await typed('\u001b[200~pasted\u001b[201~\r'),
    await typed('half\u0003'),
    await typed('\u0004'),
  ].map(({ answer }) => answer)
  assert.deepEqual(answers, ['ac', 'right', 'pasted', null, null])
})
