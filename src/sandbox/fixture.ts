/** What the tests of this room share: both rungs on this machine, boxes, and a look at the host's processes. Part of no product. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { isRefusal } from '../core/refusal.ts'
import type { Rung } from '../core/rung.ts'
import { environment } from '../host/environment.ts'
import { bornAt, killProcess } from '../host/proc.ts'
import { innerPid, living } from '../host/process-tree.ts'
import { realWorld } from '../host/world.ts'
import { makeArea } from './area.ts'
import type { CompanionPlace } from './companion-probe.ts'
import { createSandbox, find } from './create.ts'
import type { Area, Box, Contained, Outermost, Sandbox } from './sandbox.ts'

export const world = realWorld()
export const path = environment()['PATH'] ?? '/usr/bin:/bin'

/** A folder of the test's own; its name has what paths may have. */
export const makeFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'tri agent\nsandbox-'))

/** To root no folder is closed, so it becomes somebody else for a while. */
export async function asNobody(body: () => Promise<void>): Promise<void> {
  const isRoot = process.getuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    await body()
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

/** A rung of this machine, or why a test of it must be skipped. `companion`: where one is reached, for the rung of that name. */
export async function standOn(rung: Rung, folder: string, companion?: CompanionPlace): Promise<Sandbox | string> {
  const sandbox = await createSandbox(world, { rung, lowest: rung, path, folder, companion })
  return isRefusal(sandbox) ? sandbox.why : sandbox
}

/** What a companion of a test shares with it. */
export type Sharing = {
  /** Where its socket lies: a folder of its own. */
  folder: string
  /** Folders that both may write. */
  shared: readonly string[]
  /** Folders that it may only read. */
  readOnly?: readonly string[]
  /** Folders of which it sees nothing else. */
  hidden?: readonly string[]
  env?: Readonly<Record<string, string>>
  /** Words that start it, in front of `companion --socket PATH`; else the launcher itself is started. */
  program?: readonly string[]
  isFirst?: boolean
  /** A file that its starter left open for it, as descriptor 77. */
  holds?: string
}

const launcherAlone = `
const { serveCompanion } = await import(${JSON.stringify(join(import.meta.dirname, 'companion-launcher.ts'))})
const { realWorld } = await import(${JSON.stringify(join(import.meta.dirname, '../host/world.ts'))})
const { programVersion } = await import(${JSON.stringify(join(import.meta.dirname, '../host/version.ts'))})
const socket = process.argv.at(-1)
const isFirst = process.pid === 1
await serveCompanion({ world: realWorld(), socket, path: process.env.PATH, version: programVersion(), isFirst })
console.log('it listens at ' + socket)`

/**
 * A companion in a container of its own, made here of the namespaces that bubblewrap has: its own processes, no network, no home, and of the folders
 * `hidden` only what is shared. It goes with its starter. Or why none can be had.
 */
export async function startCompanion({
  folder,
  shared,
  readOnly = [],
  hidden = [],
  env = {},
  program,
  isFirst = true,
  holds,
}: Sharing) {
  const bwrap = find('bwrap', path)
  if (bwrap === null) return 'a container for it is made with bubblewrap, which is not installed'
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const socket = join(folder, 'socket')
  const hide = hidden.flatMap((each) => ['--tmpfs', each])
  const show = [...shared, folder].flatMap((each) => ['--bind', each, each])
  const look = readOnly.flatMap((each) => ['--ro-bind', each, each])
  const words = program ?? [process.execPath, '--input-type=module', '-e', launcherAlone]
  const plant = holds === undefined ? [] : ['bash', '-c', 'exec 77<"$0"; exec "$@"', holds]
  const inside = [...plant, ...(isFirst ? [] : ['sh', '-c', '"$@"; exit $?', 'sh'])]
  const args = [
    ...'--unshare-pid --as-pid-1 --unshare-net --die-with-parent --bind / / --proc /proc --dev-bind /dev /dev'.split(
      ' ',
    ),
    ...hide,
    ...show,
    ...look,
    '--chdir',
    '/',
    '--',
    ...inside,
    ...words,
    'companion',
    '--socket',
    socket,
  ]
  const child = await world.spawn({ file: bwrap, args, cwd: '/', env: { PATH: path, HOME: '/nonexistent', ...env } })
  const end = async () => {
    child.signal('SIGKILL')
    await child.exit
  }
  const complained = textOf(child.stderr)
  const said = await Promise.race([hear(child, 'listens at'), child.exit.then(() => null)]).catch(() => null)
  if (said !== null) return { socket, pid: child.pid, child, end }
  await end()
  return `no container can be made here, or no companion in it: ${await complained}`
}

export async function freshArea(folder: string): Promise<Area> {
  const area = await makeArea(join(folder, world.id('area')))
  await mkdir(area.work)
  return area
}

export const boxOf = (area: Area, argv: readonly string[], more: Partial<Box> = {}): Box => ({
  area,
  argv,
  env: {},
  stdin: null,
  mounts: [],
  gateway: null,
  toolchain: [dirname(process.execPath)],
  ...more,
})

/** A shell command in a box. `$0` is `token`, so that the host can find it. */
export const shell = (area: Area, script: string, token = 'sh', more: Partial<Box> = {}): Box =>
  boxOf(area, ['/bin/sh', '-c', script, token], more)

export async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/** Sees a box through to its end. */
export async function see(sandbox: Sandbox, box: Box) {
  const contained = await sandbox.start(box)
  const [stdout, stderr, exit] = await Promise.all([textOf(contained.stdout), textOf(contained.stderr), contained.exit])
  const { survivors } = await contained.kill()
  return { stdout, stderr, ...exit, survivors }
}

/** Resolves with what was printed once it has `word` in it. */
export function hear({ stdout }: Pick<Contained, 'stdout'>, word: string): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
      if (text.includes(word)) resolve(text)
    })
    stdout.once('end', () => reject(new Error(`ended without ${word}: ${text}`)))
  })
}

/** The host's number of what a companion calls by its own. */
export const hostPidOf = ({ pid, startTime, bootId: place }: Outermost): number =>
  place === undefined ? pid : (living((each) => innerPid(each) === pid && bornAt(each) === startTime)[0] ?? -1)

/** Processes of the host that have the token in their command line. */
export const carrying = (token: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(token)
      } catch {
        return false // gone meanwhile
      }
    })
    .map(Number)

/** The script of a tree that ignores TERM, and has a daemon that does, both with the token in their lines; each says `up`. */
export const stubborn = (token: string): string => {
  const loop = 'trap "" TERM; echo up; while :; do sleep 1; done'
  return `(setsid sh -c '${loop}' ${token} &); ${loop}`
}

/** Looks until nothing carries the token any more, or for five seconds; answers how many do, and ends them. */
export async function untilGone(token: string): Promise<number> {
  const began = world.clock.mono()
  while (carrying(token).length > 0 && world.clock.mono() - began < 5000) await world.timer.sleep(5)
  const found = carrying(token)
  for (const pid of found) killProcess(pid)
  return found.length
}
