/**
 * Starting a process of the machine and learning how it ended. The only importer of node:child_process
 * beside newer-node.ts, which an old Node must be able to read.
 *
 * A child always leads a process group of its own, so that `signal` reaches what it started and kept in that group.
 * `exit` settles on the kernel's exit, not on closed pipes: a daemon that inherited stdout would hold those for minutes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'

export type Exit = { code: number | null; signal: string | null }

export type SpawnSpec = {
  file: string
  args: readonly string[]
  cwd: string
  /** The whole environment: nothing is inherited. */
  env: Readonly<Record<string, string>>
  /** Text, bytes or a stream for stdin, or null for a closed one. */
  stdin?: string | Uint8Array | Readable | null
  /** Extra descriptors from 3 on: a file descriptor to hand over, or a pipe whose end is in `pipes`. */
  extra?: readonly (number | 'pipe')[]
}

export type Child = {
  pid: number
  stdout: Readable
  stderr: Readable
  /** Our ends of the extra pipes, by descriptor number: what is written there the child reads, and the other way round. */
  pipes: Readonly<Record<number, Duplex>>
  exit: Promise<Exit>
  /** To the whole group; false when nothing was there to receive it. */
  signal(name: NodeJS.Signals): boolean
}

export type Spawn = (spec: SpawnSpec) => Promise<Child>

/** Starts a process. Rejects with the system's error when it cannot be started (ENOENT, EACCES…). */
export const spawnProcess: Spawn = (spec) =>
  new Promise((resolve, reject) => {
    const extra = spec.extra ?? []
    const process_ = spawn(spec.file, [...spec.args], {
      cwd: spec.cwd,
      env: { ...spec.env },
      detached: true,
      stdio: [spec.stdin == null ? 'ignore' : 'pipe', 'pipe', 'pipe', ...extra],
    })
    process_.once('error', reject)
    process_.once('spawn', () => {
      process_.off('error', reject)
      process_.on('error', () => {})
      resolve(describe(process_, spec))
    })
  })

function describe(child: ChildProcess, spec: SpawnSpec): Child {
  const pid = child.pid!
  if (spec.stdin != null) {
    child.stdin!.on('error', () => {}) // a child that closes stdin early is no fault of ours
    if (typeof spec.stdin === 'object' && 'pipe' in spec.stdin) spec.stdin.pipe(child.stdin!)
    else child.stdin!.end(spec.stdin)
  }
  const pipes: Record<number, Duplex> = {}
  for (const [index, kind] of (spec.extra ?? []).entries()) {
    if (kind !== 'pipe') continue
    const pipe = child.stdio[index + 3] as Duplex
    pipe.on('error', () => {})
    pipes[index + 3] = pipe
  }
  return {
    pid,
    stdout: child.stdout!,
    stderr: child.stderr!,
    pipes,
    exit: new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal }))),
    signal: (name) => signalGroup(pid, name),
  }
}

/** Sends a signal to a process group; false when there is none. */
export function signalGroup(pgid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(-pgid, name)
    return true
  } catch {
    return false
  }
}

export type Detached = { pid: number; exit: Promise<Exit> }

/**
 * Starts a program that outlives us: a session of its own, no terminal, its output appended to `log` (0600). Waiting for `exit` does not keep us
 * alive. Rejects with the system's error when it cannot be started or the log not be opened.
 */
export function startDetached(
  spec: Pick<SpawnSpec, 'file' | 'args' | 'cwd' | 'env'> & { log: string },
): Promise<Detached> {
  const log = openSync(
    spec.log,
    constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  )
  return new Promise<Detached>((resolve, reject) => {
    const child = spawn(spec.file, [...spec.args], {
      cwd: spec.cwd,
      env: { ...spec.env },
      detached: true,
      stdio: ['ignore', log, log],
    })
    child.once('error', reject)
    child.once('spawn', () => {
      child.unref()
      resolve({
        pid: child.pid!,
        exit: new Promise((ended) => child.once('exit', (code, signal) => ended({ code, signal }))),
      })
    })
  }).finally(() => closeSync(log))
}

export type Captured = Exit & { stdout: string; stderr: string }

/** Starts a short trusted program and collects what it prints, at most `maxBytes` of each stream (default 64 MiB). */
export async function capture(spawn_: Spawn, spec: SpawnSpec, maxBytes = 64 * 1024 * 1024): Promise<Captured> {
  const child = await spawn_(spec)
  const [stdout, stderr, exit] = await Promise.all([
    collect(child.stdout, maxBytes),
    collect(child.stderr, maxBytes),
    child.exit,
  ])
  return { ...exit, stdout, stderr }
}

async function collect(stream: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= maxBytes) chunks.push(chunk)
  }
  if (bytes > maxBytes) throw new Error(`printed ${bytes} bytes, more than the ${maxBytes} allowed`)
  return Buffer.concat(chunks).toString('utf8')
}
