/**
 * The namespace rung: bubblewrap around one process tree. Own user, pid, mount, network, ipc and uts namespace, no capabilities, a seccomp filter,
 * an environment we wrote, and only the attempt's own folders writable. Killing the outermost process ends everything: the kernel does it.
 *
 *     bash (closes descriptors) ▶ prlimit ▶ [overlay.ts ▶] bwrap, the outermost ─┬─ namespaces ─ bwrap, pid 1 ─ [starter or forwarder ─] the program
 *
 * Options and filter go over pipes, so that no key and no host path is in any argv. Until it has its options bwrap waits, so whoever writes down
 * that it is there comes first, and its cgroup, where there is one (cgroup.ts). Without a gateway there is no forwarder and no network.
 */
import { join } from 'node:path'
import { bornAt, killProcess, signalProcess } from '../host/proc.ts'
import {
  cpuMsOf,
  descendantsOf,
  type HeldNamespace,
  holdPidNamespace,
  inPidNamespace,
  innerPid,
} from '../host/process-tree.ts'
import type { Child } from '../host/process.ts'
import type { World } from '../host/world.ts'
import {
  bubblewrapOptions,
  gatewayPort,
  inside,
  insideForwarder,
  insideNode,
  insideSocket,
  insideStarter,
  type NodePlace,
} from './bubblewrap.ts'
import { type Cgroup, type CgroupPlace, makeCgroup } from './cgroup.ts'
import { type Born, finish, tellOrEnd, textOf } from './finish.ts'
import { launcherArgv, launcherEnv } from './launcher.ts'
import { overlayArgv, overlayPaths, type OverlayTools } from './overlay.ts'
import type { Box, Contained, KillReport, Sandbox } from './sandbox.ts'

/** What the host must have, found by `probe`. */
export type NamespaceTools = {
  bwrap: string
  bash: string
  prlimit: string | null
  /** A perl that is there inside too, or null: then the forwarder starts the program. */
  perl: string | null
  node: NodePlace
  /** Folder with the files of /etc. */
  etc: string
  filter: Buffer | null
  /** Null where this machine cannot lay a layer below a tree. */
  overlay: OverlayTools | null
}

/** Beside this file in the source tree, beside the chunk in the bundle. */
const forwarder = join(import.meta.dirname, 'forwarder.mjs')
const starter = join(import.meta.dirname, 'starter.pl')
export const parts = [forwarder, starter]

/** A sandbox on this rung; with a place for cgroups, on the one above it. */
export function namespaceSandbox(world: World, tools: NamespaceTools, place: CgroupPlace | null = null): Sandbox {
  return {
    rung: place === null ? 'namespace' : 'cgroup',
    contained: true,
    overlays: tools.overlay !== null,
    view: () => ({ ...inside, gatewayUrl: `http://127.0.0.1:${gatewayPort}`, node: insideNode }),
    start: (box, born) => start(world, tools, place, box, born),
  }
}

/** Descriptors handed over: options, what bwrap says of its child, and then the control pipe (only the forwarder has one) and the filter. */
const optionsAt = 3
const saysAt = 4
const controlAt = 5

async function start(
  world: World,
  tools: NamespaceTools,
  place: CgroupPlace | null,
  box: Box,
  born?: Born,
): Promise<Contained> {
  const { bwrap, filter } = tools
  const extra = Array.from(
    { length: 2 + Number(box.gateway !== null) + Number(filter !== null) },
    () => 'pipe' as const,
  )
  const highest = optionsAt + extra.length - 1
  const below = overlayPaths(box.area)
  if (below.length > 0 && tools.overlay === null) throw new Error('a layer below a tree where nothing can be overlaid')
  const [file = '', ...args] = [
    ...launcherArgv(tools, highest),
    ...(below.length > 0 ? overlayArgv(tools.overlay!, tools.bash, optionsAt) : []),
    bwrap,
    '--args',
    `${optionsAt}`,
    '--',
    ...words(tools, box),
  ]
  const cgroup = place && makeCgroup(place, world, box.area.root)
  const spawned = world.spawn({ file, args, cwd: '/', env: launcherEnv, stdin: box.stdin, extra })
  const child = await spawned.catch((error: unknown) => {
    cgroup?.remove()
    throw error
  })
  const startTime = bornAt(child.pid)
  const said = textOf(child.pipes[saysAt]!) // before anything is waited for: it may end meanwhile
  await tellOrEnd(child, { pid: child.pid, startTime }, async (outermost) => {
    await Promise.all([cgroup?.enter(child.pid), born?.(outermost)])
  }).catch((error: unknown) => {
    cgroup?.remove()
    throw error
  })
  const tree = watch(world, child, said, cgroup)
  const options = [...bubblewrapOptions({ ...tools, forwarder, starter }, box), '--info-fd', `${saysAt}`]
  if (filter !== null) {
    options.push('--seccomp', `${highest}`)
    child.pipes[highest]!.end(filter)
  }
  child.pipes[optionsAt]!.end([...below, ...options].map((each) => `${each}\0`).join(''))
  return finish(world, child, {
    startTime,
    cpuMs: () => cgroup?.cpuMs() ?? cpuMsOf([child.pid, ...descendantsOf(child.pid)]),
    stop: (signal) => {
      if (box.gateway === null) void tree.signalProgram(signal)
      else child.pipes[controlAt]!.write(`${signal}\n`)
    },
    kill: tree.kill,
  })
}

function words({ perl }: NamespaceTools, { argv, gateway }: Box): readonly string[] {
  if (gateway === null) return argv
  const [port, control] = [String(gatewayPort), String(controlAt)]
  return perl === null
    ? [insideNode, insideForwarder, insideSocket, control, 'port', port, ...argv]
    : [perl, insideStarter, port, control, insideNode, insideForwarder, insideSocket, ...argv]
}

/** How long bwrap may take to say what it started before it is killed all the same. */
const birthMs = 2000
/** How long we look for survivors before we report them. */
const proofMs = 5000
/** The kernel empties a namespace within milliseconds. */
const lookMs = 3

/**
 * Follows one tree from its birth. Its namespace is held from then on: numbers of dead namespaces are given out again at once, and a look at the
 * bare number could meet somebody else's tree.
 */
function watch(world: World, child: Child, says: Promise<string>, cgroup: Cgroup | null) {
  const { clock, timer } = world
  let ended = false
  void child.exit.then(() => (ended = true))
  const born = says.then((text): HeldNamespace | null => {
    const said = /"child-pid": (\d+)[^]*"pid-namespace": (\d+)/.exec(text)
    return said && holdPidNamespace(Number(said[1]), Number(said[2]))
  })
  const prove = async (began: number): Promise<KillReport> => {
    const namespace = await born
    const look = () => {
      const lost = namespace === null || cgroup !== null ? [] : inPidNamespace(namespace.name)
      for (const pid of lost) killProcess(pid) // bwrap was killed before it had bound its child to its own life
      return cgroup?.count() ?? lost.length
    }
    let left = look()
    for (; left > 0 && clock.mono() - began < proofMs; left = look()) await timer.sleep(lookMs)
    namespace?.release()
    if (left === 0) cgroup?.remove()
    return { method: cgroup === null ? 'namespace' : 'cgroup', survivors: left, ms: Math.round(clock.mono() - began) }
  }
  const end = async (): Promise<KillReport> => {
    const began = clock.mono()
    if (cgroup === null) {
      // Killed before it has said what it started, bwrap would leave a child that nobody knows.
      const late = new AbortController()
      await Promise.race([born, child.exit, timer.sleep(birthMs, late.signal)])
      late.abort()
    } else cgroup.kill()
    child.signal('SIGKILL')
    await child.exit
    return prove(began)
  }
  let killing: Promise<KillReport> | null = null
  const kill = () => (killing ??= end())
  void child.exit.then(kill)
  return {
    kill,
    /** The program is the second process of its namespace; it may not be there yet. */
    async signalProgram(signal: 'SIGTERM' | 'SIGINT'): Promise<void> {
      const namespace = await born
      for (; namespace !== null && !ended; await timer.sleep(lookMs)) {
        const program = inPidNamespace(namespace.name).find((pid) => innerPid(pid) === 2)
        if (program !== undefined) return void signalProcess(program, signal)
      }
    },
  }
}
