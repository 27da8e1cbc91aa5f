// On the rung subreaper: the parent of whatever its program leaves behind, so that nothing of it gets away unseen, also when the daemon has been killed.
// One for each tree, because a daemon that adopted them all could not tell whose is whose, and would be gone when it matters.
//     ORDERS brings one line {argv, env}, and the program is started; then names of signals. Its end, or the program's, ends all that descends from us;
//     then `{"survivors":N}` is said there.
// Plain JavaScript, because it is executed as it lies, from the source tree and from the bundle. It holds no secret; the program's environment is not its own.
// usage: node watcher.mjs ORDERS LIFELINE
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants } from 'node:os'

const [orders, lifeline] = process.argv.slice(2).map(Number)
const koffi = await (process.arch === 'arm64'
  ? import('@koromix/koffi-linux-arm64')
  : import('@koromix/koffi-linux-x64'))
const libc = koffi.default.load(null)
const prctl = libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)')
const waitpid = libc.func('int waitpid(int, void *, int)')

const setChildSubreaper = 36
const noHang = 1
if (prctl(setChildSubreaper, 1, 0, 0, 0) !== 0) throw new Error('this kernel has no subreaper')

const own = { program: null }

// Living ones by their parents; adopted ones that have ended are waited for, because Node waits only for what it has started.
function descendants() {
  const children = new Map()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    let text
    try {
      text = readFileSync(`/proc/${name}/stat`, 'latin1')
    } catch {
      continue // gone meanwhile
    }
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const pid = Number(name)
    if (state !== 'Z') children.set(Number(parent), [...(children.get(Number(parent)) ?? []), pid])
    else if (Number(parent) === process.pid && pid !== own.program?.pid) waitpid(pid, null, noHang)
  }
  const found = []
  const queue = [process.pid]
  for (let next = queue.pop(); next !== undefined; next = queue.pop())
    for (const child of children.get(next) ?? []) {
      found.push(child)
      queue.push(child)
    }
  return found
}

// Is any child of ours left? Whatever loses its parent becomes one, so the kernel's no is the proof; a list of /proc misses who is born while it is read.
function isChildless() {
  let ended
  do ended = waitpid(-1, null, noHang)
  while (ended > 0)
  return ended === -1
}

// One that respawns is met again and again.
const sweepMs = 2000
const lookMs = 1
function endAll() {
  const began = performance.now()
  const pause = new Int32Array(new SharedArrayBuffer(4))
  while (!isChildless()) {
    const left = descendants()
    if (performance.now() - began > sweepMs) return Math.max(1, left.length)
    for (const pid of left) signal(pid, 'SIGKILL')
    Atomics.wait(pause, 0, 0, lookMs)
  }
  return 0
}

function signal(pid, name) {
  try {
    process.kill(pid, name)
  } catch {
    // gone meanwhile
  }
}

const pipe = new Socket({ fd: orders, readable: true, writable: true, allowHalfOpen: true })
pipe.setEncoding('utf8')
pipe.on('error', () => {}) // whoever would have listened is gone

function finish(end) {
  const survivors = endAll()
  pipe.end(`${JSON.stringify({ survivors })}\n`, end)
  pipe.on('error', end)
}

function begin({ argv: [file, ...args], env }) {
  const program = spawn(file, args, { env, detached: true, stdio: ['inherit', 'inherit', 'inherit', lifeline] })
  program.on('error', (error) => {
    console.error(`cannot start ${file}: ${error.message}`)
    process.exit(127)
  })
  program.on('exit', (code, name) => finish(() => process.exit(code ?? 128 + (constants.signals[name] ?? 0))))
  own.program = program
}

function obey() {
  let begun = ''
  pipe.on('data', (text) => {
    const lines = (begun + text).split('\n')
    begun = lines.pop()
    for (const line of lines)
      if (own.program === null) begin(JSON.parse(line))
      else signal(-own.program.pid, line)
  })
}
obey()
pipe.on('end', () => {
  own.program?.removeAllListeners('exit')
  finish(() => signal(process.pid, 'SIGKILL'))
})

// What has ended and was adopted would fill the table of processes of a tree that lives for hours.
const reapMs = 1000
setInterval(descendants, reapMs).unref()
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, () => {})
