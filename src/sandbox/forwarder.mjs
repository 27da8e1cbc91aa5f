// Inside the sandbox, as its first program: gives the contained command the one way out it has, and passes signals on.
// 127.0.0.1:PORT is piped to the gateway's unix socket; descriptor CONTROL is a pipe held by the daemon: a line is a signal's name, its end means
// SIGTERM. Plain JavaScript, because it is executed as it lies, from the source tree and from the bundle. It never reads what it forwards.
// usage: node forwarder.mjs PORT SOCKET CONTROL COMMAND…
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { Socket, connect, createServer } from 'node:net'

const [port, socket, control, file, ...args] = process.argv.slice(2)

function begin() {
  const child = spawn(file, args, { stdio: 'inherit' })
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => child.kill(name))
  child.on('error', (error) => {
    console.error(`cannot start ${file}: ${error.message}`)
    process.exit(127)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
  obey(child)
}

function obey(child) {
  const pipe = new Socket({ fd: Number(control), readable: true, writable: false })
  let rest = ''
  pipe.setEncoding('utf8')
  pipe.on('data', (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()
    for (const name of lines) child.kill(name)
  })
  pipe.on('end', () => child.kill('SIGTERM'))
  pipe.on('error', () => {})
}

// A side that has said all may still listen, so each direction ends by itself; one that is gone takes the other with it.
createServer({ allowHalfOpen: true }, (inner) => {
  const outer = connect({ path: socket, allowHalfOpen: true })
  inner.on('error', () => {})
  inner.on('close', () => outer.destroy())
  outer.on('error', () => inner.destroy())
  inner.pipe(outer).pipe(inner)
}).listen(Number(port), '127.0.0.1', begin)
