/**
 * The rung a machine was found to stand on, remembered so that a start need not wait for a contained process. It counts only while everything it was
 * found with is the same: the programs (file, size, times), the kernel, this boot, the settings that forbid namespaces, our own version. What was
 * remembered is tried out all the same, after: nothing may start before `prove` has answered. Only a rung that worked is remembered.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { release, version } from 'node:os'
import { join } from 'node:path'
import { identityOf } from '../host/file-system.ts'
import { bootId, isAlive, killProcess, startTimeOf, type ProcessIdentity } from '../host/proc.ts'
import { aliveOf } from '../host/process-tree.ts'
import { programVersion } from '../host/version.ts'
import type { World } from '../host/world.ts'
import type { Rung } from '../core/rung.ts'
import { findCgroupPlace } from './cgroup.ts'
import { climb, hindrances, standAs, toolsOn, type Climbed, type SandboxOptions } from './create.ts'
import { parts } from './namespace.ts'
import type { Witness } from './sandbox.ts'

type Options = Pick<SandboxOptions, 'path' | 'folder'>

/** What `climb` answers, without starting anything where it is remembered; then with `prove`. */
export async function climbAgain(world: World, options: Options): Promise<Climbed> {
  endFormerLooks(options.folder)
  const file = join(options.folder, 'sandbox.json')
  const mark = markOf(options)
  const known = read<Known>(file)
  if (known?.mark !== mark || known.rung === undefined)
    return keep(file, mark, await climb(world, options, witnessIn(options.folder)))
  return {
    ...(await standAs(world, options, known.way, placeFor(options, known.rung), known.overlays)),
    async prove(witness) {
      const { stands, way, reasons } = await keep(file, markOf(options), await climb(world, options, witness))
      const { rung, contained, overlays } = stands[0]!
      if (!contained) return `this machine cannot hold an agent in a namespace any more: ${reasons.join('; ')}`
      // the longer way is a part of the shorter one: it was only remembered because a look at that had been killed, or had met a full disk
      const holds = rung === known.rung && (way === known.way || known.way === 'forwarded')
      if (holds && (overlays || !known.overlays)) return null
      return 'the sandbox works in another way than it was known to: tri-agent down, then up'
    },
  }
}

type Look = { maker: ProcessIdentity; leader: ProcessIdentity; root: string }
const lookName = /^sandbox-look-\d+\.json$/

/** Before the database is open, a file says what a look has started: killed in the middle of it, bubblewrap can leave a process that waits for ever. */
function witnessIn(folder: string): Witness {
  const file = join(folder, `sandbox-look-${process.pid}.json`)
  const identity = (pid: number): ProcessIdentity => ({ bootId: bootId(), pid, startTime: startTimeOf(pid) })
  return {
    async born({ pid, startTime }, root) {
      const look: Look = { maker: identity(process.pid), leader: { ...identity(pid), startTime }, root }
      writeFileSync(file, JSON.stringify(look), { mode: 0o600 })
    },
    over: () => rm(file, { force: true }),
  }
}

/** Ends what looks have left whose makers are gone. */
function endFormerLooks(folder: string): void {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => lookName.test(name)) : []
  for (const file of names.map((name) => join(folder, name))) {
    const look = read<Look>(file)
    if (look !== null && isAlive(look.maker)) continue
    if (look !== null) for (const pid of aliveOf(look.leader, look.root)) killProcess(pid)
    rmSync(file, { force: true })
  }
}

/** A machine that cannot enter a cgroup it may make is not asked to. */
const placeFor = ({ folder }: Options, rung: Rung) =>
  rung === 'cgroup' ? findCgroupPlace(folder) : { missing: 'it was found not to work' }

type Known = { mark: string; way: Climbed['way']; rung: Rung; overlays: boolean }

function read<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T
  } catch {
    return null // none was kept, or it was cut short: then it is found out again
  }
}

async function keep(file: string, mark: string, climbed: Climbed): Promise<Climbed> {
  const { rung, contained, overlays } = climbed.stands[0]!
  if (!contained) {
    await rm(file, { force: true })
    return climbed
  }
  writeFileSync(`${file}.part`, JSON.stringify({ mark, way: climbed.way, rung, overlays } satisfies Known), {
    mode: 0o600,
  })
  renameSync(`${file}.part`, file)
  return climbed
}

/** Everything that the answer depends on and that can be seen without trying. */
function markOf({ path, folder }: Options): string {
  const { bwrap, bash, prlimit, perl, unshare, mount } = toolsOn(path)
  const files = [bwrap, bash, prlimit, perl, unshare, mount, process.execPath, ...parts].map(
    (file) => file && identityOf(file),
  )
  const place = findCgroupPlace(folder)
  return JSON.stringify([
    programVersion(),
    release(),
    version(),
    bootId(),
    process.getuid?.(),
    hindrances(),
    place,
    files,
  ])
}
