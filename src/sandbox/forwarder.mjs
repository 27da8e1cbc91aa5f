// Inside the sandbox, as its first program: gives the contained command the one way out it has, and passes signals on.
// 127.0.0.1:PORT is piped to the gateway's unix socket; descriptor 5 is a control pipe held by the daemon: a line is a signal's name, its end means
// SIGTERM. Plain JavaScript, because it is executed as it lies, from the source tree and from the bundle. It never reads what it forwards.
// usage: node forwarder.mjs PORT SOCKET|- COMMAND…
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { Socket, connect, createServer } from 'node:net'

const [port, socket, file, ...args] = process.argv.slice(2)

function begin() {
  const child = spawn(file, args, { stdio: ['inherit', 'inherit', 'inherit'] })
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => child.kill(name))
  child.on('error', (error) => {
    console.error(`cannot start ${file}: ${error.message}`)
    process.exit(127)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
  const control = new Socket({ fd: 5, readable: true, writable: false })
  control.setEncoding('utf8')
  control.on('data', (lines) =>
    lines
      .trim()
      .split('\n')
      .forEach((name) => child.kill(name)),
  )
  control.on('end', () => child.kill('SIGTERM'))
  control.on('error', () => {})
}

if (socket === '-') begin()
else
  createServer((inner) => {
    const outer = connect(socket)
    inner.on('error', () => outer.destroy())
    outer.on('error', () => inner.destroy())
    inner.pipe(outer).pipe(inner)
  }).listen(Number(port), '127.0.0.1', begin)
