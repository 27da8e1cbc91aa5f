/**
 * What the daemon and its companion say to each other over the companion's socket, and how much of it either takes. A connection is one of four:
 *
 *     session          hello ─▶ welcome; claims and questions; its end ends every tree that was started in it
 *     tree             hello ─▶ known; start ─▶ born ─▶ go ─▶ started, cpu…, exit, killed; signals and the kill go the other way; its end ends the tree
 *     stdout, stderr   hello; then the bytes of that tree's stream as they are, so that the kernel holds back who prints faster than is read
 *
 * A message is four bytes of length and JSON. Each has a bound, and whatever breaks the form or the bound ends its connection. Never: a message that is
 * taken before the token was shown.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Area, KillReport } from './sandbox.ts'

/** Both sides must speak the same. */
export const protocol = 1

/** Bounds of a message, in bytes: of the first one of a stranger, of a start (it holds a prompt), of all else. */
export const helloBytes = 4096
export const startBytes = 32 * 1024 * 1024
export const wordBytes = 64 * 1024

/** Beside the socket, 0600: written anew at each start of a companion, so it also tells one start from another. */
export const tokenFileOf = (socket: string): string => `${socket}.token`

export type Hello = { protocol: number; token: string; session: string } & (
  | { kind: 'session' }
  | { kind: 'tree' | 'stdout' | 'stderr'; tree: string }
)

export type Welcome = {
  protocol: number
  version: string
  /** It is PID 1: whatever is in its pid namespace and in no tree that lives is ended with the next one that ends. */
  isFirst: boolean
  /** Its pid namespace, as /proc names it. */
  namespace: string
  /** Ways out of its container beside loopback. */
  interfaces: string[]
}

export type Start = {
  area: Area
  argv: string[]
  env: Record<string, string>
  stdin: string | null
  toolchain: string[]
  /** A port of loopback that leads to this socket while the tree lives. */
  door: { port: number; socket: string } | null
}

export type ToSession = { claim: { epoch: number; house: string } } | { count: string }
export type FromSession =
  | { welcome: Welcome }
  | { claimed: { survivors: number } }
  | { counted: number }
  | { refused: string }
export type ToTree = { start: Start } | { go: true } | { signal: 'SIGTERM' | 'SIGINT' } | { kill: true }
export type FromTree =
  | { known: true }
  | { born: { pid: number; startTime: number | null } }
  | { started: true }
  | { failed: string }
  | { cpu: number | null }
  | { exit: { code: number | null; signal: string | null } }
  | { killed: KillReport }

/** Says one thing. */
export function say(socket: Socket, message: object): void {
  if (socket.destroyed) return // who is gone hears nothing
  const body = Buffer.from(JSON.stringify(message))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  socket.cork()
  socket.write(length)
  socket.write(body)
  socket.uncork()
}

/** Hears messages one after another: `hear` is told each, `limit` is asked for the bound of the next. What breaks either destroys the socket. */
export function listen(socket: Socket, limit: () => number, hear: (message: Record<string, unknown>) => void): void {
  let held: Buffer[] = []
  let bytes = 0
  const take = (count: number): Buffer => {
    const all = held.length === 1 ? held[0]! : Buffer.concat(held)
    held = [all.subarray(count)]
    bytes -= count
    return all.subarray(0, count)
  }
  let wanted = -1
  socket.on('data', (chunk: Buffer) => {
    held.push(chunk)
    bytes += chunk.length
    while (!socket.destroyed) {
      if (wanted === -1) {
        if (bytes < 4) return
        wanted = take(4).readUInt32BE()
        if (wanted > limit()) return void socket.destroy()
      }
      if (bytes < wanted) return
      const message = parse(take(wanted))
      wanted = -1
      if (message === null) return void socket.destroy()
      hear(message)
    }
  })
}

function parse(body: Buffer): Record<string, unknown> | null {
  try {
    const message: unknown = JSON.parse(body.toString('utf8'))
    return isRecord(message) ? message : null
  } catch {
    return null
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isWord = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{32,128}$/.test(value)
const isPath = (value: unknown): value is string =>
  typeof value === 'string' && value.startsWith('/') && !value.includes('\0')
const areTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string' && !each.includes('\0'))

/** The first message of a connection, or null where it is none. The token is not looked at. */
export function asHello(message: Record<string, unknown>): Hello | null {
  const { protocol: spoken, token, session, kind, tree } = message
  if (typeof spoken !== 'number' || !isWord(token) || !isWord(session)) return null
  if (kind === 'session') return { protocol: spoken, token, session, kind }
  if (!isWord(tree) || (kind !== 'tree' && kind !== 'stdout' && kind !== 'stderr')) return null
  return { protocol: spoken, token, session, kind, tree }
}

/** What is to be started, or null where that is not whole. */
export function asStart(message: unknown): Start | null {
  if (!isRecord(message)) return null
  const { area, argv, env, stdin, toolchain, door } = message
  if (!isRecord(area) || !areTexts(argv) || argv.length === 0 || !isRecord(env) || !areTexts(toolchain)) return null
  const { root, work, home, out, tmp } = area
  if (!isPath(root) || !isPath(work) || !isPath(home) || !isPath(out) || !isPath(tmp)) return null
  if (!areTexts(Object.values(env)) || Object.keys(env).some((name) => name === '' || /[=\0]/.test(name))) return null
  if (stdin !== null && typeof stdin !== 'string') return null
  if (door !== null && !(isRecord(door) && isPort(door['port']) && isPath(door['socket']))) return null
  return {
    area: { root, work, home, out, tmp },
    argv,
    env: env as Record<string, string>,
    stdin,
    toolchain,
    door: door as Start['door'],
  }
}

const isPort = (value: unknown): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value > 1023 && value < 65_536

/** Compares without telling by its time how much of it was right. */
export const isSame = (one: string, other: string): boolean =>
  timingSafeEqual(createHash('sha256').update(one).digest(), createHash('sha256').update(other).digest())
