/**
 * The companion: a launcher in a container of its own, beside the daemon's, that holds no key, no database and no settings. It starts what the daemon
 * orders, each tree as on the rung subreaper, relays its streams, and ends it on order, when the daemon's connection is gone, and when a later daemon
 * claims it. Where it is PID 1 of its container, it also ends what no living tree owns (companion-sweep.ts).
 *
 *     session ─┬─ tree: waiting for its start ─▶ born, waiting for `go` ─▶ started ─▶ ended, and proven so
 *              └─ tree …                                       a claim of a later epoch ends all that other daemons have claimed
 *
 * Who connects has shown the token of this very start; the socket and the token are the owner's alone (0600). Never: a key, a file of the daemon's but the
 * areas it shares, a tree without a connection that wants it.
 */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { dirname } from 'node:path'
import { makeOwnFolder } from '../host/path.ts'
import { aliveOf, pidNamespaceOf } from '../host/process-tree.ts'
import { bootId } from '../host/proc.ts'
import type { World } from '../host/world.ts'
import { find } from './create.ts'
import { openDoor } from './companion-door.ts'
import { sweepStrays } from './companion-sweep.ts'
import {
  asHello,
  asStart,
  type FromSession,
  type FromTree,
  type Hello,
  helloBytes,
  isSame,
  listen,
  protocol,
  say,
  type Start,
  startBytes,
  tokenFileOf,
  wordBytes,
} from './companion-wire.ts'
import { groupSandbox } from './group.ts'
import type { Box, Contained, KillReport, Outermost, Sandbox } from './sandbox.ts'

export type CompanionOptions = {
  world: World
  /** Where it listens; the folder is made 0700. */
  socket: string
  /** PATH on which programs are found here. */
  path: string
  version: string
  /** Is this process the first of its pid namespace, so that all in there is ours to end? */
  isFirst: boolean
}

/** Who has not said who he is by then is hung up on, in milliseconds. */
const strangerMs = 5000
/** So many may be connected at a time: a session, and three for each tree. */
const mostConnections = 400
/** How often the daemon is told how much CPU a tree has used. */
const cpuEveryMs = 1000

type Session = {
  name: string
  socket: Socket
  trees: Map<string, Tree>
  claim: { epoch: number; house: string } | null
}

type Tree = {
  session: Session
  socket: Socket
  streams: { stdout: Socket | null; stderr: Socket | null }
  /** What was ordered; it is carried out once both streams are there. */
  order: Start | null
  state: 'waiting' | 'starting' | 'started'
  /** Settled once it has started, or has not. */
  starting: Promise<unknown> | null
  /** Lets a born tree go on, or not. */
  go: (() => void) | null
  stop: ((why: Error) => void) | null
  contained: Contained | null
  door: Server | null
  isUnwanted: boolean
  ended: Promise<KillReport> | null
}

/** Listens until disposed of; then everything it started is ended. */
export async function serveCompanion(options: CompanionOptions): Promise<AsyncDisposable> {
  const { world, socket: path } = options
  await makeOwnFolder(dirname(path))
  const token = world.secret(32)
  writeFileSync(`${tokenFileOf(path)}.part`, token, { mode: 0o600 })
  renameSync(`${tokenFileOf(path)}.part`, tokenFileOf(path))
  const launcher = launch(options)
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    if (open.size >= mostConnections) return void socket.destroy()
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    meet(world, socket, token, launcher)
  })
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600) // nobody else gets into its folder before
  return {
    async [Symbol.asyncDispose]() {
      server.close()
      await launcher.endAll()
      for (const socket of open) socket.destroy()
      rmSync(path, { force: true })
      rmSync(tokenFileOf(path), { force: true })
    },
  }
}

/** Hears a stranger's first message; whoever says nothing, the wrong token or another protocol is hung up on. */
function meet(world: World, socket: Socket, token: string, launcher: Launcher): void {
  const forget = world.timer.after(strangerMs, () => socket.destroy())
  let guest: Guest | null = null
  socket.on('close', forget)
  listen(
    socket,
    () => guest?.limit() ?? helloBytes,
    (message) => {
      if (guest !== null) return guest.hear(message)
      const hello = asHello(message)
      if (hello === null || !isSame(hello.token, token)) return void socket.destroy()
      forget()
      if (hello.protocol !== protocol) {
        say(socket, { refused: `it speaks protocol ${protocol}, not ${hello.protocol}` } satisfies FromSession)
        return void socket.end()
      }
      guest = launcher.admit(hello, socket)
      if (guest === null) socket.destroy()
    },
  )
}

/** A connection that has shown the token: who hears what it says, and how long a message of it may be. */
type Guest = { hear(message: Record<string, unknown>): void; limit(): number }

type Launcher = {
  /** Null where there is no place for it. */
  admit(hello: Hello, socket: Socket): Guest | null
  endAll(): Promise<number>
}

function launch(options: CompanionOptions): Launcher {
  const { world, path, isFirst, version } = options
  const sessions = new Map<string, Session>()
  const roots = new Set<number>()
  const exclusive = oneAtATime()
  const spawn: World['spawn'] = (spec) =>
    // in one step with being known: a sweep must not meet it before
    exclusive(async () => {
      const child = await world.spawn(spec)
      roots.add(child.pid)
      void child.exit.then(() => roots.delete(child.pid))
      return child
    })
  const tools = { bash: find('bash', `${path}:/usr/bin:/bin`), prlimit: find('prlimit', `${path}:/usr/bin`) }
  const sandbox = groupSandbox({ ...world, spawn }, path, tools, true)
  const sweep = () => (isFirst ? exclusive(() => sweepStrays(world, roots)) : Promise.resolve(null))

  /** The latest claim of each house, living or not: a daemon that was frozen meanwhile has lost it. */
  const latest = new Map<string, number>()

  const endTree = (tree: Tree): Promise<KillReport> => (tree.ended ??= endOf(world, tree, sweep))
  const endSession = async (session: Session): Promise<number> => {
    sessions.delete(session.name)
    const reports = await Promise.all([...session.trees.values()].map(endTree))
    session.socket.destroy()
    return reports.reduce((sum, { survivors }) => sum + survivors, 0)
  }

  const claim = async (session: Session, wanted: { epoch: number; house: string }): Promise<FromSession> => {
    const { epoch, house } = wanted
    if (epoch < (latest.get(house) ?? 0)) return { refused: `a later daemon has it (epoch ${latest.get(house)})` }
    const others = [...sessions.values()].filter((each) => each !== session && each.claim !== null)
    const stranger = others.find((each) => each.claim!.house !== house)
    if (stranger !== undefined) return { refused: 'another daemon has it: each needs a companion of its own' }
    latest.set(house, epoch)
    session.claim = wanted
    const left = await Promise.all(others.map(endSession))
    const strays = await sweep()
    return { claimed: { survivors: strays ?? left.reduce((sum, each) => sum + each, 0) } }
  }

  const openSession = (name: string, socket: Socket) => {
    if (sessions.has(name)) return null
    const session: Session = { name, socket, trees: new Map(), claim: null }
    sessions.set(name, session)
    socket.on('close', () => void endSession(session))
    say(socket, { welcome: welcomeOf(version, isFirst) } satisfies FromSession)
    return { hear: (message: Record<string, unknown>) => void answer(session, message), limit: () => wordBytes }
  }
  const answer = async (session: Session, { claim: claimed, count }: Record<string, unknown>) => {
    const wanted = asClaim(claimed)
    if (wanted !== null) say(session.socket, await claim(session, wanted))
    else if (typeof count === 'string') say(session.socket, { counted: ((await sweep()) ?? 0) + countMarked(count) })
    else session.socket.destroy()
  }

  const carryOn = (tree: Tree) => {
    const { order, state, streams } = tree
    if (order !== null && state === 'waiting' && streams.stdout !== null && streams.stderr !== null)
      void carry(world, sandbox, tree, order, endTree)
  }
  const openTree = (session: Session, name: string, socket: Socket) => {
    if (session.trees.has(name)) return null
    const tree: Tree = {
      session,
      socket,
      streams: { stdout: null, stderr: null },
      order: null,
      state: 'waiting',
      starting: null,
      go: null,
      stop: null,
      contained: null,
      door: null,
      isUnwanted: false,
      ended: null,
    }
    session.trees.set(name, tree)
    socket.on('close', () => {
      void endTree(tree).then(() => session.trees.delete(name))
    })
    say(socket, { known: true } satisfies FromTree)
    return {
      hear: (message: Record<string, unknown>) => obey(tree, message, carryOn, endTree),
      limit: () => (tree.state === 'waiting' ? startBytes : wordBytes),
    }
  }

  return {
    admit(hello, socket) {
      if (hello.kind === 'session') return openSession(hello.session, socket)
      const session = sessions.get(hello.session)
      if (session === undefined) return null
      if (hello.kind === 'tree') return openTree(session, hello.tree, socket)
      const tree = session.trees.get(hello.tree)
      if (tree === undefined || tree.streams[hello.kind] !== null) return null
      tree.streams[hello.kind] = socket
      carryOn(tree)
      return { hear: () => void socket.destroy(), limit: () => 0 } // it only listens
    },
    async endAll() {
      const left = await Promise.all([...sessions.values()].map(endSession))
      return (await sweep()) ?? left.reduce((sum, each) => sum + each, 0)
    },
  }
}

const asClaim = (value: unknown): { epoch: number; house: string } | null => {
  if (typeof value !== 'object' || value === null) return null
  const { epoch, house } = value as Record<string, unknown>
  return Number.isSafeInteger(epoch) && typeof house === 'string' && house.length < 100
    ? { epoch: epoch as number, house }
    : null
}

const welcomeOf = (version: string, isFirst: boolean) => ({
  protocol,
  version,
  isFirst,
  namespace: pidNamespaceOf(process.pid) ?? '',
  interfaces: Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    addresses?.every(({ internal }) => internal) === true ? [] : [name],
  ),
})

/** How much lives of the tree whose folder this is, as far as it bears its mark. */
const countMarked = (area: string): number => aliveOf({ bootId: bootId(), pid: -1, startTime: 0 }, area).length

/** What the daemon says of one tree. */
function obey(
  tree: Tree,
  message: Record<string, unknown>,
  carryOn: (tree: Tree) => void,
  endTree: (tree: Tree) => Promise<KillReport>,
): void {
  const { contained, socket } = tree
  const { start, go, signal, kill } = message
  if (start !== undefined) {
    const order = tree.order === null ? asStart(start) : null
    if (order === null) return void socket.destroy()
    tree.order = order
    return carryOn(tree)
  }
  if (go === true && tree.go !== null) return tree.go()
  if ((signal === 'SIGTERM' || signal === 'SIGINT') && contained !== null) return contained.stop(signal)
  if (kill === true && tree.state === 'waiting') return void socket.end()
  if (kill === true) void endTree(tree)
}

/** Starts what was ordered and sees it to its end. */
async function carry(
  world: World,
  sandbox: Sandbox,
  tree: Tree,
  order: Start,
  endTree: (tree: Tree) => Promise<KillReport>,
): Promise<void> {
  const tell = (message: FromTree) => say(tree.socket, message)
  tree.state = 'starting'
  try {
    tree.door = order.door && (await openDoor(order.door))
    const box: Box = { ...order, mounts: [], gateway: null }
    const starting = sandbox.start(box, (outermost) => waitForWord(tree, outermost))
    tree.starting = starting.catch(() => {}) // said below
    tree.contained = await starting
  } catch (error) {
    tree.door?.close()
    tell({ failed: error instanceof Error ? error.message : String(error) })
    return void tree.socket.end()
  }
  const { contained } = tree
  tree.state = 'started'
  const done = (['stdout', 'stderr'] as const).map((name) => relay(contained[name], tree.streams[name]!))
  tell({ started: true })
  const over = new AbortController()
  const telling = tellCpu(world, contained, tell, over.signal)
  if (tree.isUnwanted) void endTree(tree)
  tell({ exit: await contained.exit })
  over.abort()
  await telling
  tell({ killed: await endTree(tree) })
  await Promise.all(done)
  tree.socket.end()
}

/** A tree is born, and stands still until the daemon has written that down. */
const waitForWord = (tree: Tree, { pid, startTime }: Outermost): Promise<void> =>
  new Promise((resolve, reject) => {
    if (tree.isUnwanted) return reject(new Error('it is not wanted any more'))
    tree.go = resolve
    tree.stop = reject
    say(tree.socket, { born: { pid, startTime } } satisfies FromTree)
  })

/** Ends a tree, in whatever state it is, and proves it. */
async function endOf(world: World, tree: Tree, sweep: () => Promise<number | null>): Promise<KillReport> {
  const began = world.clock.mono()
  tree.isUnwanted = true
  tree.stop?.(new Error('it is not wanted any more'))
  await tree.starting
  const { survivors } = (await tree.contained?.kill()) ?? { survivors: 0 }
  tree.door?.close()
  const strays = await sweep()
  return { method: 'companion', survivors: strays ?? survivors, ms: Math.round(world.clock.mono() - began) }
}

/** Passes bytes on as fast as they are taken; resolves when all is on its way. A reader that left takes the source with it, as a closed pipe does. */
const relay = (source: Contained['stdout'], to: Socket): Promise<void> =>
  new Promise((resolve) => {
    to.on('close', () => {
      source.destroy()
      resolve()
    })
    to.on('finish', resolve)
    source.pipe(to)
  })

async function tellCpu(
  { timer }: World,
  contained: Contained,
  tell: (message: FromTree) => void,
  signal: AbortSignal,
): Promise<void> {
  for (; !signal.aborted; await timer.sleep(cpuEveryMs, signal)) tell({ cpu: contained.cpuMs() })
}

/** Lets each begin only when the one before it is done, whether it was well or not. */
function oneAtATime(): <T>(body: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (body) => {
    const next = last.then(body, body)
    last = next
    return next
  }
}
