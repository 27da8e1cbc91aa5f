/**
 * Writing to stdout and stderr. Only a terminal gets Node's stream: loading it takes longer than most verbs do. What is written has been taken when
 * the call returns, as it is with Node's own streams for files and pipes on Linux.
 */
import { fstatSync, writeSync } from 'node:fs'

export const out = 1
export const err = 2

/** A terminal's stream, or null. */
export function terminalOf(descriptor: typeof out | typeof err): NodeJS.WriteStream | null {
  if (!fstatSync(descriptor).isCharacterDevice()) return null
  const stream = descriptor === out ? process.stdout : process.stderr
  return stream.isTTY ? stream : null
}

/** How long a reader that takes nothing is left alone before the next try, in milliseconds. */
const pauseMs = 2

/** Writes all of it. Where nobody reads what we answer any more there is nothing left to do: the process ends, well. */
export function say(descriptor: typeof out | typeof err, text: string): void {
  const terminal = terminalOf(descriptor)
  if (terminal) return void terminal.write(text)
  const bytes = Buffer.from(text)
  for (let written = 0; written < bytes.length;)
    try {
      written += writeSync(descriptor, bytes, written)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
      else if (code !== 'EPIPE') throw error
      else if (descriptor === out) process.exit(0)
      else return
    }
}
