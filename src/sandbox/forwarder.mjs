// Inside the sandbox: gives the contained command the one way out it has, and passes signals on.
// 127.0.0.1:PORT is piped to the gateway's unix socket; descriptor CONTROL is a pipe held by the daemon: a line is a signal's name, its end means
// SIGTERM. Plain JavaScript, because it is executed as it lies, from the source tree and from the bundle. It never reads what it forwards.
// usage: node forwarder.mjs SOCKET CONTROL door DESCRIPTOR PID   beside a command that starter.pl has started: the port is open already
//        node forwarder.mjs SOCKET CONTROL port PORT COMMAND…    as the first program, where there is no perl: it starts the command itself
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { Socket, connect, createServer } from 'node:net'

const [socket, control, kind, where, ...rest] = process.argv.slice(2)

function begin() {
  const [file, ...args] = rest
  const child = spawn(file, args, { stdio: 'inherit' })
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => child.kill(name))
  child.on('error', (error) => {
    console.error(`cannot start ${file}: ${error.message}`)
    process.exit(127)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
  obey((name) => child.kill(name))
}

function signal(name) {
  try {
    process.kill(Number(rest[0]), name)
  } catch {
    // it has just ended, and so do we
  }
}

function obey(send) {
  const pipe = new Socket({ fd: Number(control), readable: true, writable: false })
  let begun = ''
  pipe.setEncoding('utf8')
  pipe.on('data', (text) => {
    const lines = (begun + text).split('\n')
    begun = lines.pop()
    for (const name of lines) send(name)
  })
  pipe.on('end', () => send('SIGTERM'))
  pipe.on('error', () => {})
}

// A side that has said all may still listen, so each direction ends by itself; one that is gone takes the other with it.
const server = createServer({ allowHalfOpen: true }, (inner) => {
  const outer = connect({ path: socket, allowHalfOpen: true })
  inner.on('error', () => {})
  inner.on('close', () => outer.destroy())
  outer.on('error', () => inner.destroy())
  inner.pipe(outer).pipe(inner)
})
if (kind === 'door') server.listen({ fd: Number(where) }, () => obey(signal))
else server.listen(Number(where), '127.0.0.1', begin)
