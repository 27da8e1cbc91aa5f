/** Unix sockets as files: does anybody answer at one? The file outlives whoever listened. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'

/** Long for a listener on this machine; a daemon that is stopped answers too, because the kernel takes the connection for it. */
const patienceMs = 1000

/** True while a process listens at `path`, or where that cannot be told: a file with no listener refuses at once. */
export async function isListening(path: string): Promise<boolean> {
  return isBound(path) || (await answers(path))
}

/** By the kernel's list, which disturbs nobody. It names only sockets of this network namespace. */
function isBound(path: string): boolean {
  try {
    return readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .some((line) => line.endsWith(` ${path}`))
  } catch {
    return false // no /proc
  }
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path)
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(patienceMs, () => end(true))
    socket.once('connect', () => end(true))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    )
  })
