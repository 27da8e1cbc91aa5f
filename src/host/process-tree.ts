/**
 * What belongs together among the processes of this machine: trees by their marks, groups, namespaces, descendants. Reads /proc; where there is none
 * nothing is found. One process and its identity are proc.ts's.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { bootId, isAlive, killProcess, startTimeOf, statOf, type ProcessIdentity } from './proc.ts'

/** Hundredths of a second are what Linux counts in, on every architecture (USER_HZ). */
const msPerTick = 10

/** Milliseconds of CPU that these have used until now, and those of their children that are gone; null where none is there. */
export function cpuMsOf(pids: readonly number[]): number | null {
  const found = pids.flatMap((pid) => statOf(pid) ?? [])
  return found.length === 0 ? null : found.reduce((sum, { cpuTicks }) => sum + cpuTicks, 0) * msPerTick
}

/** Names the tree that has this folder for its own, where a path may not be: in the name of a cgroup, in an environment. */
export const treeMark = (folder: string): string => createHash('sha256').update(folder).digest('hex').slice(0, 16)

/** The variable by which a tree is known whose kernel keeps nothing together for us; its value begins with the tree's mark. */
export const markVariable = 'TRI_AGENT_BOX'
/** The path of a file that each process of such a tree has open, unless it closed it, begins like this. */
export const lifelineIn = (folder: string): string => `${folder}/lifeline-`

/**
 * What lives of a tree: its leader with all that descends from it, the process group that one led, and whatever bears the tree's mark: sees its folder as
 * a mount, because bwrap can be killed before it has bound its child to its own life; is in its cgroup; has its variable or its lifeline. A group's
 * number is given to nobody while one of it lives; where the leader's has been given to another process since, the group is that one's.
 */
export function aliveOf(leader: ProcessIdentity, folder: string): number[] {
  if (leader.bootId !== bootId()) return []
  const { pid, startTime } = leader
  if (startTime === null) return isAlive(leader) ? [pid] : []
  const isLeader = isAlive(leader)
  const isStranger = !isLeader && startTimeOf(pid) !== null
  const descended = isLeader ? descendantsOf(pid) : []
  const bears = marked(folder)
  const found = living((each) => (!isStranger && isInGroup(each, pid, startTime)) || bears(each))
  return [...new Set([...found, ...descended])]
}

/** Does a process bear the mark of the tree of this folder? */
function marked(folder: string): (pid: number) => boolean {
  const place = placeOf(folder)
  const mark = treeMark(folder)
  return (pid) =>
    (place !== null && sees(pid, place)) ||
    textOf(pid, 'cgroup').includes(`/tri-agent/${mark}-`) ||
    textOf(pid, 'environ')
      .split('\0')
      .some((entry) => entry.startsWith(`${markVariable}=${mark}-`)) ||
    holdsOpen(pid, lifelineIn(folder))
}

/** Does it see this folder of the host, or one below it, as a mount: by its place in its file system, because mounts are named by that. */
const sees = (pid: number, place: Place): boolean =>
  mountsOf(pid).some(({ device, root }) => device === place.device && `${root}/`.startsWith(`${place.root}/`))

type Place = { device: string; root: string }
type Mount = Place & { point: string; options: readonly string[]; type: string }

/** proc(5), mountinfo: a mount's device, which folder of its file system it shows, and where. Nothing of a process that is gone or not ours to look at. */
const mountsOf = (pid: number | 'self'): Mount[] =>
  textOf(pid, 'mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, , device, root, point, options = ''] = line.split(' ').map(plain)
      const type = / - (\S+)/.exec(line)?.[1] ?? ''
      return point === undefined ? [] : [{ device: device!, root: root!, point, options: options.split(','), type }]
    })

/** Blanks and backslashes are written in octal. */
const plain = (word: string): string =>
  word.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))

/** Where a folder lies in its file system, or lay: what of its path is gone cannot have been a link. */
function placeOf(folder: string): Place | null {
  const path = realPath(folder)
  const mount = mountOf(path)
  if (mount === null) return null
  const { device, root, point } = mount
  return { device, root: join(root, path.slice(point.length)) }
}

/** The innermost mount that shows a real path, the last of several at one point. */
const mountOf = (path: string): Mount | null =>
  mountsOf('self')
    .filter(({ point }) => point === '/' || `${path}/`.startsWith(`${point}/`))
    .reduce<Mount | null>((best, each) => (best && best.point.length > each.point.length ? best : each), null)

/** How the file system of a folder is mounted (`ro`, `noexec`…); nothing where that is not known. */
export const mountOptionsOf = (folder: string): readonly string[] => mountOf(realPath(folder))?.options ?? []

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return dirname(path) === path ? path : join(realPath(dirname(path)), basename(path))
  }
}

/** A file of /proc/PID; nothing where the process is gone or not ours to look at. */
export function textOf(pid: number | 'self', name: string, encoding: 'utf8' | 'latin1' = 'latin1'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, encoding)
  } catch {
    return ''
  }
}

/** Has it a file open whose path begins like this, removed or not? */
function holdsOpen(pid: number, beginning: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((name) => linkOf(`/proc/${pid}/fd/${name}`)?.startsWith(beginning))
  } catch {
    return false
  }
}

/** Processes that have such a file open. */
export const withOpen = (beginning: string): number[] => living((pid) => holdsOpen(pid, beginning))

/** Where a link of /proc leads; null where it is gone or not ours to look at. */
export function linkOf(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}

/** The folder of the cgroup (version 2) that this process is in, or null. */
export function cgroupFolder(): string | null {
  const own = /^0::(.*)$/m.exec(textOf('self', 'cgroup'))?.[1]
  const mount = mountsOf('self').find(({ type }) => type === 'cgroup2')
  if (own === undefined || mount === undefined) return null
  const { root, point } = mount
  return `${own}/`.startsWith(root === '/' ? '/' : `${root}/`) ? join(point, relative(root, own)) : null
}

/** The pid namespace of a process, or null. */
export const pidNamespaceOf = (pid: number): string | null => linkOf(`/proc/${pid}/ns/pid`)

const pids = (): number[] => {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** Every living process for which `test` holds. Zombies do not count: they hold nothing. */
export const living = (test: (pid: number) => boolean): number[] =>
  pids().filter((pid) => startTimeOf(pid) !== null && test(pid))

export const inPidNamespace = (namespace: string): number[] => living((pid) => pidNamespaceOf(pid) === namespace)

/** A pid namespace kept from being forgotten: while it is held, the kernel gives its number to no other. */
export type HeldNamespace = { name: string; release(): void }

/** Holds the pid namespace of a process, or null when the process is gone or has not the namespace `inode`. */
export function holdPidNamespace(pid: number, inode: number): HeldNamespace | null {
  let descriptor: number
  try {
    descriptor = openSync(`/proc/${pid}/ns/pid`, 'r')
  } catch {
    return null // gone, and a namespace goes with its first process
  }
  const name = readlinkSync(`/proc/self/fd/${descriptor}`)
  if (name === `pid:[${inode}]`) return { name, release: () => closeSync(descriptor) }
  closeSync(descriptor)
  return null
}

/** The pid a process has in its own, innermost pid namespace, or null. */
export function innerPid(pid: number): number | null {
  try {
    const written = /^NSpid:.*\s(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    return written === undefined ? null : Number(written)
  } catch {
    return null
  }
}

/** Living processes of a process group that were not started before `since` (clock ticks): a group number comes around like a pid. */
export const inGroup = (group: number, since: number): number[] => living((pid) => isInGroup(pid, group, since))

function isInGroup(pid: number, group: number, since: number): boolean {
  const stat = statOf(pid)
  return stat?.group === group && stat.startTime >= since
}

/** Processes that carry this exact entry (`NAME=value`) in their environment, as far as we may read it. */
export function withEnvironment(entry: string): number[] {
  return living((pid) => textOf(pid, 'environ').split('\0').includes(entry))
}

/** SIGKILL to each of those as it is met, because one that respawns is gone when the list is complete. Answers how many they were. */
export const killWithEnvironment = (entry: string): number =>
  living((pid) => textOf(pid, 'environ').split('\0').includes(entry) && killProcess(pid)).length

/** Living descendants of a process, itself not counted. */
export function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const each of pids()) {
    const stat = statOf(each)
    if (stat && stat.state !== 'Z') children.set(stat.parent, [...(children.get(stat.parent) ?? []), each])
  }
  const found: number[] = []
  const queue = [pid]
  for (let next = queue.pop(); next !== undefined; next = queue.pop())
    for (const child of children.get(next) ?? []) {
      found.push(child)
      queue.push(child)
    }
  return found
}
