/** Asking a person for something nobody may read over their shoulder: what is typed is not shown, not even its length. */
import type { Keyboard } from './key.ts'

/** Reads one line without showing it. Null: the person left (^C, ^D). The terminal is handed back as it was. */
export function askHidden(keyboard: Keyboard, say: (text: string) => void, question: string): Promise<string | null> {
  say(question)
  keyboard.setRawMode(true)
  return new Promise((resolve) => {
    let typed = ''
    const end = (answer: string | null) => {
      keyboard.off('data', hear).pause() // or stdin keeps the program alive
      keyboard.setRawMode(false)
      say('\n')
      resolve(answer)
    }
    const hear = (bytes: Buffer) => {
      for (const letter of bytes.toString('utf8').replaceAll(pasting, '')) {
        if (letter === '\r' || letter === '\n') return end(typed)
        if (letter === '\u0003' || letter === '\u0004') return end(null)
        if (letter === '\u007f' || letter === '\b') typed = typed.slice(0, -1)
        else if (letter === '\u0015') typed = ''
        else typed += letter
      }
    }
    keyboard.on('data', hear).resume()
  })
}

/** What a terminal puts around pasted text where a shell left that switched on. */
const pasting = /\u001b\[20[01]~/g // oxlint-disable-line no-control-regex -- control characters are what is looked for
