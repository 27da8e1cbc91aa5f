/**
 * The daemon's own socket, where commands reach it: one line in, one line out. `nudge` only wakes it, and losing one costs a second and nothing else.
 * Any other line is for whoever is given as `answer`. Who asks waits 100 ms and then does it without the daemon, so what is asked must bear being
 * heard late, or twice.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'

/** numbers.md: a daemon that does not answer within this is not waited for. Milliseconds. */
export const patienceMs = 100
/** Who connects and does not say a whole line is hung up on. Milliseconds. */
const idleMs = 10_000
/** The longest line, either way: more than the longest text of a task, however it is escaped. */
const mostBytes = 4 * 1024 * 1024

/** `sent`: somebody may have heard it, now or later, though there is no answer. */
export type Asked = { answer: string | null; sent: boolean }

/** Says one line to whoever listens at `path` and waits for one line. Never throws. */
export function ask(path: string, line: string, waitMs = patienceMs): Promise<Asked> {
  return new Promise((resolve) => {
    const socket = connect(path)
    let sent = false
    const chunks: Buffer[] = []
    const end = (answer: string | null) => {
      socket.destroy()
      clearTimeout(late)
      resolve({ answer, sent })
    }
    const late = setTimeout(() => end(null), waitMs)
    socket.on('error', () => end(null))
    socket.on('close', () => end(null)) // a daemon that ends now hangs up without a word
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      if (chunk.includes(10)) end(lineIn(chunks))
      else if (sizeOf(chunks) > mostBytes) end(null)
    })
    socket.on('connect', () => {
      sent = true
      socket.write(`${line}\n`)
    })
  })
}

/** Wakes the daemon that listens at `path`. False when none answers in time; never throws. */
export const nudge = async (path: string): Promise<boolean> => (await ask(path, 'nudge')).answer !== null

/** Does any process listen at `path`, be it stopped or of another version? */
export const isListened = async (path: string): Promise<boolean> => (await ask(path, 'nudge')).sent

const sizeOf = (chunks: readonly Buffer[]): number => chunks.reduce((sum, { length }) => sum + length, 0)

/** The first line; bytes that are no text become what no request is made of. */
const lineIn = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString('utf8').split('\n', 1)[0]!

/**
 * Answers at `path` (0600), replacing the socket of a daemon that is gone; the caller has made sure that it is. `answer`: what to say to a line that is
 * no nudge; where it rejects, the line is hung up on.
 */
export async function listenForNudges(
  path: string,
  onNudge: () => void,
  answer: (line: string) => Promise<string>,
): Promise<AsyncDisposable> {
  const open = new Set<Socket>()
  const hear = async (socket: Socket, line: string) => {
    socket.setTimeout(0)
    if (line === 'nudge') {
      onNudge()
      return socket.end('ok\n')
    }
    try {
      socket.end(`${await answer(line)}\n`)
    } catch {
      socket.destroy() // whoever asked does it without us, and meets there what is wrong
    }
  }
  const server = createServer((socket) => {
    open.add(socket)
    const chunks: Buffer[] = []
    let heard = false
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setTimeout(idleMs, () => socket.destroy())
    socket.on('data', (chunk) => {
      if (heard) return
      chunks.push(chunk)
      if (chunk.includes(10)) {
        heard = true
        void hear(socket, lineIn(chunks))
      } else if (sizeOf(chunks) > mostBytes) socket.destroy()
    })
  })
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  chmodSync(path, 0o600)
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        if (!server.listening) return resolve()
        server.close(() => resolve())
        for (const socket of open) socket.destroy() // or whoever connected and says nothing keeps the daemon from ending
      }),
  }
}
