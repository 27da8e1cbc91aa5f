/**
 * The port of containment: one process tree, its files, its only way out. Which rung of the ladder stands behind it is said by `rung`.
 *
 *     cgroup      the next one, inside of a cgroup of its own: killed in one step of the kernel, with limits on processes and memory
 *     namespace   bubblewrap: own pid, mount, network and user namespace, seccomp filter; nothing survives a kill
 *     companion   a launcher without secrets in a container of its own, beside ours: see companion.ts; one attempt is NOT held from another
 *     subreaper   a process group with a parent of ours that adopts and ends whatever leaves it: files and network are NOT held
 *     group       a process group and a scrubbed environment: files, network and daemons are NOT held; promises 3-6 are lost
 *
 * Never: a host path in a contained environment, an inherited variable, an inherited descriptor.
 */
import type { Readable } from 'node:stream'
import type { Rung } from '../core/rung.ts'
import type { Exit } from '../host/process.ts'

/**
 * The host folders of one attempt, all of them its own and 0700. `work` is the tree, `home` the agent's HOME, `out` where a bundle is left. `below`: files that
 * are in the tree as if they had been copied there, and a folder for what keeps them apart; only where the sandbox overlays.
 */
export type Area = {
  root: string
  work: string
  home: string
  out: string
  tmp: string
  below?: { files: string; scratch: string }
}

/** Where a contained process finds things. On the namespace rung these never change, so sessions resume and no host path leaks. */
export type View = {
  work: string
  home: string
  out: string
  tmp: string
  gatewayUrl: string
  /** A Node that is there, the one we are started with. */
  node: string
}

export type Mount = {
  /** Host path. */
  from: string
  /** Path inside. Below the rung namespace it must equal `from`. */
  to: string
  mode: 'ro' | 'rw'
}

export type Box = {
  area: Area
  /** Paths are those of `view(area)`. */
  argv: readonly string[]
  env: Readonly<Record<string, string>>
  stdin: string | null
  mounts: readonly Mount[]
  /** Make the tree read-only: reviewers. */
  readOnlyWork?: boolean
  /** The only thing reachable by network, or null for nothing at all. `socket` serves the namespace rung, `url` the group rung. */
  gateway: { socket: string; url: string } | null
  /**
   * Folders that hold programs, put first in PATH; mounted read-only at the same path. `X/bin` shows all of X, `X/bin/` that folder alone. On the
   * namespace rung a folder below one of the view's (`/work/…`) is shown elsewhere.
   */
  toolchain?: readonly string[]
}

export type KillReport = { method: string; survivors: number; ms: number }

/** The outermost process of a tree, by what names it for ever. */
export type Outermost = Pick<Contained, 'pid' | 'startTime' | 'bootId'>

/** Who writes down that a tree is there before it goes on, and that it is gone: so that it is found should we die meanwhile. */
export type Witness = { born(outermost: Outermost, folder: string): Promise<void>; over(): Promise<void> }

export type Contained = {
  /** Host pid of the outermost process. */
  pid: number
  /** Where its numbers are not this machine's view but another container's: names that, in place of this boot. No signal may be sent to it. */
  bootId?: string
  /** Field 22 of /proc/PID/stat, or null where there is no /proc: with boot id and pid it names the process for ever. */
  startTime: number | null
  stdout: Readable
  stderr: Readable
  /** On the namespace rung a program that died of signal N is code 128 + N, as in a shell; a signal here means that the container was killed. */
  exit: Promise<Exit>
  /** Milliseconds of CPU that the tree has used until now; null where that is not known, or it has ended. */
  cpuMs(): number | null
  /** Asks politely: the signal reaches the contained program, not the container. */
  stop(signal: 'SIGTERM' | 'SIGINT'): void
  /**
   * Ends everything and proves it: resolves when the tree is empty or says how many are left. May be called twice. The namespace rung does it by
   * itself after the exit; the group rung only when asked.
   */
  kill(): Promise<KillReport>
}

export type Sandbox = {
  rung: Rung
  /** Files and network of the machine are out of reach, and what a program sees lies at the same paths everywhere. */
  contained: boolean
  /** A sealed layer can be laid below a tree instead of being copied into it. */
  overlays: boolean
  view(area: Area, gateway: Box['gateway']): View
  /** The only folder in which areas may lie; absent where they may lie anywhere. */
  place?: string
  /** Where trees can outlive this daemon's view of them: ends all that daemons of an earlier epoch have left, and proves it. Faults where it cannot. */
  claim?(epoch: number): Promise<void>
  /**
   * `born` is told of the outermost process, and has to be done with it before the tree goes on: on the namespace rung there is nothing beside that
   * one process until then, and should we die meanwhile, it ends by itself. When `born` rejects, so does this, and nothing is left.
   */
  start(box: Box, born?: (outermost: Outermost) => Promise<void>): Promise<Contained>
}
