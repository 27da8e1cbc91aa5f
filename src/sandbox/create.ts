/**
 * Which rung this machine can stand on, found by trying it: a real contained process, not a version number. A rung below the lowest accepted one is
 * refused, with what is missing and how to get it.
 */
import { accessSync, constants, writeFileSync } from 'node:fs'
import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import { arch, platform, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { World } from '../host/world.ts'
import { makeArea } from './area.ts'
import { groupSandbox } from './group.ts'
import { namespaceSandbox, type NamespaceTools } from './namespace.ts'
import type { Rung, Sandbox } from './sandbox.ts'
import { seccompFilter } from './seccomp.ts'

export type SandboxOptions = {
  /** The lowest rung accepted. */
  lowest: Rung
  /** PATH on which bubblewrap and, on the group rung, programs are found. */
  path: string
  /** Our own folder, for the filter file. */
  folder: string
  /** Take this rung even where a higher one would work: for tests. */
  force?: Rung
}

export type Probe = { rung: Rung; reasons: string[] }

/** The best sandbox this machine has. Refuses `rung-too-low`. */
export async function createSandbox(world: World, options: SandboxOptions): Promise<Sandbox | Refusal> {
  const { sandbox, reasons } = await climb(world, options)
  if (sandbox.rung === 'group' && options.lowest === 'namespace')
    return refuse(
      'rung-too-low',
      `this machine cannot hold an agent in a namespace: ${reasons.join('; ')}`,
      'mend that, or accept in your settings what the rung group loses (files, network and daemons are not held): rung: group',
    )
  return sandbox
}

/** The rung this machine stands on, and why not a higher one. */
export async function probe(world: World, options: SandboxOptions): Promise<Probe> {
  const { sandbox, reasons } = await climb(world, options)
  return { rung: sandbox.rung, reasons }
}

async function climb(world: World, options: SandboxOptions): Promise<{ sandbox: Sandbox; reasons: string[] }> {
  const group = groupSandbox(world, options.path)
  if (options.force === 'group') return { sandbox: group, reasons: ['the rung group was asked for'] }
  const tools = findTools(options)
  if (typeof tools === 'string') return { sandbox: group, reasons: [tools] }
  const sandbox = namespaceSandbox(world, tools)
  const wrong = await tryOut(sandbox)
  return wrong === null ? { sandbox, reasons: [] } : { sandbox: group, reasons: [wrong] }
}

function findTools({ path, folder }: SandboxOptions): NamespaceTools | string {
  if (platform() !== 'linux') return `namespaces are Linux's, this is ${platform()}`
  const bwrap = find('bwrap', path)
  if (bwrap === null) return 'bubblewrap is not installed (apt-get install bubblewrap, dnf install bubblewrap)'
  const bash = find('bash', `${path}${delimiter}/usr/bin${delimiter}/bin`)
  if (bash === null) return 'bash is not installed'
  const filter = seccompFilter(arch())
  const filterFile = filter === null ? null : join(folder, 'seccomp.bpf')
  if (filter !== null) writeFileSync(filterFile!, filter, { mode: 0o600 })
  return { bwrap, bash, prlimit: find('prlimit', `${path}${delimiter}/usr/bin`), node: process.execPath, filterFile }
}

/** An executable file of this name on a PATH, or null. */
export function find(name: string, path: string): string | null {
  for (const folder of path.split(delimiter).filter(Boolean))
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      continue // not in this folder
    }
  return null
}

/** Starts `true` the way agents are started. Null, or why it did not work. */
async function tryOut(sandbox: Sandbox): Promise<string | null> {
  const root = await mkdtemp(join(tmpdir(), 'tri-agent-probe-'))
  try {
    const area = await makeArea(root)
    await mkdir(area.work)
    const contained = await sandbox.start({
      area,
      argv: ['/usr/bin/env', 'true'],
      env: {},
      stdin: null,
      mounts: [],
      gateway: null,
    })
    const said: Buffer[] = []
    contained.stderr.on('data', (chunk: Buffer) => said.push(chunk))
    contained.stdout.resume()
    const { code } = await contained.exit
    await contained.kill()
    return code === 0
      ? null
      : `bubblewrap does not work here: ${Buffer.concat(said).toString('utf8').trim() || `exit ${code}`}`
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}
