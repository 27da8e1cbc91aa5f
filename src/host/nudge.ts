/**
 * The nudge: how a command tells the daemon that there is something to look at. Only a wake-up: what is to be done is in the database, so a lost
 * nudge costs a second and nothing else.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'

/** numbers.md: a daemon that does not answer within this is not waited for. Milliseconds. */
const patienceMs = 100

/** Wakes the daemon that listens at `path`. False when none answers in time; never throws. */
export function nudge(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(patienceMs, () => end(false))
    socket.on('error', () => end(false))
    socket.on('close', () => end(false)) // a daemon that ends now hangs up without a word
    socket.on('data', () => end(true))
    socket.on('connect', () => socket.write('nudge\n'))
  })
}

/** Answers nudges at `path` (0600), replacing the socket of a daemon that is gone; the caller has made sure that it is. */
export async function listenForNudges(path: string, onNudge: () => void): Promise<AsyncDisposable> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.on('data', () => {
      onNudge()
      socket.end('ok\n')
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
