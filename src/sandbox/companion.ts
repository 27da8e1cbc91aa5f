/**
 * The rung companion, seen from the daemon: each tree is ordered from the launcher in the other container (companion-launcher.ts), which starts, relays and
 * ends it. Its processes are in that container's pid namespace: nothing here has their numbers, so they are written down under a boot id of their own and
 * no signal of ours is ever sent to one. Paths are the host's: areas, stores, layers and the sockets of attempts lie in both containers at the same place.
 *
 *     session kept open ─▶ tree ─▶ born (written down) ─▶ go ─▶ exit ─▶ killed: the launcher's count, or after a lost connection what the next one counts
 *
 * Never: a key, an answer taken for longer than its bound, a tree that is called dead because nobody answered.
 */
import { lstatSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { PassThrough } from 'node:stream'
import { Fault, isFault } from '../host/fault.ts'
import { bootId } from '../host/proc.ts'
import { treeMark } from '../host/process-tree.ts'
import type { Exit } from '../host/process.ts'
import type { World } from '../host/world.ts'
import {
  type Hello,
  listen,
  protocol,
  say,
  type Start,
  startBytes,
  tokenFileOf,
  type ToSession,
  type ToTree,
  type Welcome,
  wordBytes,
} from './companion-wire.ts'
import { type Born, ending } from './finish.ts'
import type { Box, Contained, KillReport, Sandbox } from './sandbox.ts'

/** A launcher on this machine answers at once; a loaded one later. Milliseconds. */
const answerMs = 10_000
/** A killed tree is empty within seconds, or is said not to be. */
const killMs = 15_000
/** Between two tries to reach a companion that is being started anew, and how long it is tried. */
const againMs = 100
const patienceMs = 5000

/** Ports of loopback in the companion through which trees reach the gateway: above those that systems give out by themselves. */
const firstDoor = 61_000
const doors = 4500

export type Companion = { sandbox: Sandbox; welcome: Welcome; close(): void }

/** Reaches the companion that listens at `path`, for the state folder `house`; a sentence where that cannot be. */
export async function reachCompanion(world: World, path: string, house: string): Promise<Companion | string> {
  try {
    return await open(world, path, house)
  } catch (error) {
    if (error instanceof Fault) return error.message
    throw error
  }
}

async function open(world: World, path: string, house: string): Promise<Companion> {
  let claimed: number | null = null
  let session = await openSession(world, path)
  /** The session there is, or a new one where the companion was started anew. */
  const reach = async (): Promise<Session> => {
    const began = world.clock.mono()
    for (; session.isGone(); await world.timer.sleep(againMs))
      try {
        const next = await openSession(world, path)
        if (claimed !== null) await claimFor(next, claimed, house)
        session = next
      } catch (error) {
        if (!isFault(error, 'companion-gone') || world.clock.mono() - began > patienceMs) throw error
      }
    return session
  }
  const doorOf = doorKeeper(world)
  const { welcome } = session
  return {
    welcome,
    close: () => session.close(),
    sandbox: {
      rung: 'companion',
      contained: false,
      overlays: false,
      view: ({ root, work, home, out, tmp }, gateway) => ({
        work,
        home,
        out,
        tmp,
        gatewayUrl: gateway === null ? '' : `http://127.0.0.1:${doorOf(root)}`,
        node: process.execPath, // both are of one image
      }),
      async claim(epoch) {
        claimed = epoch
        await claimFor(await reach(), epoch, house)
      },
      async start(box, born) {
        const { gateway, area } = box
        const door = gateway && { port: doorOf(area.root), socket: gateway.socket }
        return startTree(world, { path, session: await reach(), reach, door }, box, born)
      },
    },
  }
}

/** Gives each area a port of its own, the same one until others have had theirs. */
function doorKeeper({ random }: World): (root: string) => number {
  const given = new Map<string, number>()
  let next = Math.floor(random() * doors)
  return (root) => {
    const port = given.get(root) ?? firstDoor + (next++ % doors)
    given.set(root, port)
    if (given.size > doors / 4) given.delete(given.keys().next().value!)
    return port
  }
}

async function claimFor(session: Session, epoch: number, house: string): Promise<void> {
  const { claimed, refused } = await session.ask({ claim: { epoch, house: treeMark(house) } })
  if (typeof refused === 'string') throw new Fault('companion-taken', `the companion is not ours: ${refused}`)
  const { survivors } = claimed as { survivors: number }
  if (survivors !== 0)
    throw new Fault('companion-survivors', `${survivors} processes of an earlier daemon live on in the companion`, {
      hint: 'restart its container',
    })
}

type Session = {
  name: string
  token: string
  welcome: Welcome
  isGone(): boolean
  ask(question: ToSession): Promise<Record<string, unknown>>
  close(): void
}

/** Opens a session. Faults: `companion-gone`. It does not keep this process alive; its trees do. */
async function openSession(world: World, path: string): Promise<Session> {
  const token = readToken(path)
  const name = world.secret(16)
  const socket = await dial(path)
  const answers: ((answer: Record<string, unknown> | null) => void)[] = []
  listen(
    socket,
    () => wordBytes,
    (message) => answers.shift()?.(message),
  )
  let gone = false
  socket.on('close', () => {
    gone = true
    for (const each of answers.splice(0)) each(null)
  })
  const hear = async (): Promise<Record<string, unknown>> => {
    const late = world.timer.after(answerMs, () => socket.destroy())
    const answer = gone ? null : await new Promise<Record<string, unknown> | null>((resolve) => answers.push(resolve))
    late()
    if (answer === null) throw new Fault('companion-gone', 'the companion hung up or did not answer')
    return answer
  }
  say(socket, { protocol, token, session: name, kind: 'session' } satisfies Hello)
  const { welcome, refused } = await hear()
  if (typeof refused === 'string') {
    socket.destroy()
    throw new Fault('companion-gone', `the companion refuses: ${refused}`, { hint: 'start it from the same version' })
  }
  const known = asWelcome(welcome)
  if (known === null) {
    socket.destroy()
    throw new Fault('companion-gone', 'what listens there is no companion')
  }
  socket.unref()
  return {
    name,
    token,
    welcome: known,
    isGone: () => gone,
    ask(question) {
      say(socket, question)
      return hear()
    },
    close: () => socket.destroy(),
  }
}

function asWelcome(value: unknown): Welcome | null {
  if (typeof value !== 'object' || value === null) return null
  const { version, isFirst, namespace, interfaces } = value as Record<string, unknown>
  if (typeof version !== 'string' || typeof isFirst !== 'boolean' || typeof namespace !== 'string') return null
  if (!Array.isArray(interfaces) || !interfaces.every((each) => typeof each === 'string')) return null
  return { protocol, version, isFirst, namespace, interfaces }
}

/** The token of the companion that listens at `path`. Faults where socket or token could be somebody else's. */
function readToken(path: string): string {
  for (const file of [path, tokenFileOf(path)]) {
    const found = lstatSync(file, { throwIfNoEntry: false })
    if (found === undefined) throw new Fault('companion-gone', `no companion listens at ${path}`)
    if (found.uid !== process.getuid?.())
      throw new Fault('companion-gone', `${file} belongs to user ${found.uid}: start both as the same user`)
    if ((found.mode & 0o077) !== 0 || !(file === path ? found.isSocket() : found.isFile() && found.size < 1000))
      throw new Fault('companion-gone', `${file} is not what a companion makes (0600)`)
  }
  return readFileSync(tokenFileOf(path), 'utf8')
}

const dial = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Fault('companion-gone', `no companion listens at ${path} (${error.code})`)),
    )
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
  })

type Way = { path: string; session: Session; reach(): Promise<Session>; door: Start['door'] }

async function startTree(world: World, way: Way, box: Box, born: Born | undefined): Promise<Contained> {
  const { path, session, door } = way
  const { area, argv, env, stdin, toolchain } = box
  const tree = world.secret(16)
  const greet = async (kind: 'tree' | 'stdout' | 'stderr') => {
    const socket = await dial(path)
    say(socket, { protocol, token: session.token, session: session.name, kind, tree } satisfies Hello)
    return socket
  }
  const line = await greet('tree')
  const heard = hearTree(line)
  const streams: Socket[] = []
  const leave = () => [line, ...streams].forEach((each) => each.destroy())
  // one that hangs is hung up on: that ends what it may have begun
  const late = world.timer.after(answerMs, leave)
  const tell = (message: ToTree) => say(line, message)
  const order: Start = {
    area: { root: area.root, work: area.work, home: area.home, out: area.out, tmp: area.tmp },
    argv: [...argv],
    env: { ...env },
    stdin,
    toolchain: [...(toolchain ?? [])],
    door,
  }
  if (Buffer.byteLength(JSON.stringify(order)) > startBytes) {
    late()
    leave()
    throw new Fault('too-large', `what is to be started takes more than ${startBytes} bytes to say`)
  }
  const place = `${bootId()} ${session.welcome.namespace}`
  try {
    await heard.known
    for (const kind of ['stdout', 'stderr'] as const) streams.push(await greet(kind))
    tell({ start: order })
    const { pid, startTime } = await heard.born
    late()
    await born?.({ pid, startTime, bootId: place })
    tell({ go: true })
    await heard.started
    return follow(world, { ...way, area: area.root }, { line, streams, heard, leave, pid, startTime, place })
  } catch (error) {
    late()
    tell({ kill: true })
    const hung = world.timer.after(killMs, leave)
    await heard.closed // by then the launcher has ended what there was
    hung()
    leave()
    throw error
  }
}

type Heard = ReturnType<typeof hearTree>

/** What the launcher says of one tree, each thing once. */
function hearTree(line: Socket) {
  const known = Promise.withResolvers<void>()
  const born = Promise.withResolvers<{ pid: number; startTime: number | null }>()
  const started = Promise.withResolvers<void>()
  const exit = Promise.withResolvers<Exit>()
  const killed = Promise.withResolvers<KillReport | null>()
  const closed = Promise.withResolvers<void>()
  const seen: { cpuMs: number | null } = { cpuMs: null }
  for (const { promise } of [known, born, started]) promise.catch(() => {}) // whoever waits hears of it; nobody may
  listen(
    line,
    () => wordBytes,
    (message) => {
      if (message['known'] === true) known.resolve()
      else if (isBirth(message['born'])) born.resolve(message['born'])
      else if (message['started'] === true) started.resolve()
      else if (typeof message['failed'] === 'string') fail(new Fault('not-started', message['failed']))
      else if (typeof message['cpu'] === 'number') seen.cpuMs = message['cpu']
      else if (isExit(message['exit'])) exit.resolve(message['exit'])
      else if (isReport(message['killed'])) killed.resolve(message['killed'])
      else if (message['cpu'] !== null) line.destroy()
    },
  )
  const fail = (fault: Fault) => {
    known.reject(fault)
    born.reject(fault)
    started.reject(fault)
  }
  line.on('close', () => {
    fail(new Fault('companion-gone', 'the companion hung up'))
    exit.resolve({ code: null, signal: 'SIGKILL' }) // its end is the tree's
    killed.resolve(null)
    closed.resolve()
  })
  return {
    known: known.promise,
    born: born.promise,
    started: started.promise,
    exit: exit.promise,
    killed: killed.promise,
    closed: closed.promise,
    seen,
  }
}

const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
const isBirth = (value: unknown): value is { pid: number; startTime: number | null } => {
  const { pid, startTime } = fieldsOf(value)
  return Number.isSafeInteger(pid) && (startTime === null || Number.isSafeInteger(startTime))
}
const isExit = (value: unknown): value is Exit => {
  const { code, signal } = fieldsOf(value)
  return (code === null || Number.isInteger(code)) && (signal === null || typeof signal === 'string')
}
const isReport = (value: unknown): value is KillReport => {
  const { method, survivors, ms } = fieldsOf(value)
  return typeof method === 'string' && Number.isSafeInteger(survivors) && typeof ms === 'number'
}

type Followed = {
  line: Socket
  streams: readonly Socket[]
  heard: Heard
  leave(): void
  pid: number
  startTime: number | null
  place: string
}

function follow(
  world: World,
  { reach, area }: Way & { area: string },
  { line, streams, heard, leave, pid, startTime, place }: Followed,
): Contained {
  const [stdout, stderr] = streams.map((each) => ending(world, each, heard.closed)) as [PassThrough, PassThrough]
  let ended = false
  void heard.exit.then(() => (ended = true))
  const end = async (): Promise<KillReport> => {
    const began = world.clock.mono()
    say(line, { kill: true } satisfies ToTree)
    const late = new AbortController()
    const report = await Promise.race([heard.killed, world.timer.sleep(killMs, late.signal).then(() => null)])
    late.abort()
    if (report !== null) return report
    leave()
    return {
      method: 'companion',
      survivors: await countLeft(world, reach, area),
      ms: Math.round(world.clock.mono() - began),
    }
  }
  let killing: Promise<KillReport> | null = null
  return {
    pid,
    startTime,
    bootId: place,
    stdout,
    stderr,
    exit: heard.exit,
    cpuMs: () => (ended ? null : heard.seen.cpuMs),
    stop: (signal) => say(line, { signal } satisfies ToTree),
    kill: () => (killing ??= end()),
  }
}

/** The connection is lost, and with it the word of how it ended: asked of whoever listens there now. Where nobody answers, nothing is proven. */
async function countLeft(world: World, reach: () => Promise<Session>, area: string): Promise<number> {
  const began = world.clock.mono()
  for (;;)
    try {
      const { counted } = await (await reach()).ask({ count: area })
      if (counted === 0 || world.clock.mono() - began > killMs) return Number(counted)
      await world.timer.sleep(againMs)
    } catch (error) {
      if (error instanceof Fault) return 1 // at least: nobody says that there are none
      throw error
    }
}
