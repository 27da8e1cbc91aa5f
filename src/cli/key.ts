/** Single keys of a person at a terminal, without Enter. Hands the terminal back as it was; where there is no terminal it does nothing. */

/** What we need of stdin: `process.stdin` is one. */
export type Keyboard = Pick<NodeJS.ReadStream, 'isTTY' | 'setRawMode' | 'on' | 'off' | 'resume' | 'pause'>

/** q, Q, ^C and ^D: a terminal in raw mode hands over ^C as a byte instead of a signal. */
const leaving = /[qQ\u0003\u0004]/ // oxlint-disable-line no-control-regex -- control characters are what is looked for

/** Calls `leave` at a key that means it; the returned function ends listening and may be called twice. */
export function listenForLeaving(keyboard: Keyboard, leave: () => void): () => void {
  if (!keyboard.isTTY) return () => {}
  const hear = (typed: Buffer) => {
    if (leaving.test(typed.toString('latin1'))) leave()
  }
  keyboard.setRawMode(true)
  keyboard.on('data', hear).resume()
  return () => {
    keyboard.off('data', hear).pause() // or stdin keeps the program alive
    keyboard.setRawMode(false)
  }
}
