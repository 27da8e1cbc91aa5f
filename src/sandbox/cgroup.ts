/**
 * A control group of its own for each box, around its namespace: the kernel ends all of it at one word, says when it is empty, and keeps it within its
 * limits. Version 2 only, in a part of the tree that is ours to write.
 *
 *     made ─▶ entered by the outermost process, before that forks ─▶ killed ─▶ empty ─▶ removed
 *
 * Its name says whose tree is in it and who made it, so whoever comes after a crash finds both. Never: a process moved that we did not start, a folder
 * removed that is not empty.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { isMakerGone, makerMark, makerShape } from '../host/maker.ts'
import { cgroupFolder, treeMark } from '../host/process-tree.ts'
import type { World } from '../host/world.ts'

/** Where ours are made, a word for all that one state folder makes, and what keeps them from having limits. */
export type CgroupPlace = { above: string; house: string; controllers: readonly string[]; unlimited: string | null }

/** The cgroup of one box. */
export type Cgroup = {
  /** Takes a process in; it must not have forked. */
  enter(pid: number): Promise<void>
  /** SIGKILL to all of it, in one step of the kernel. */
  kill(): void
  /** How many live in it. */
  count(): number
  /** Milliseconds of CPU used until now; null once it is removed. */
  cpuMs(): number | null
  remove(): void
}

const houseOf = (folder: string): string => treeMark(folder).slice(0, 8)

/** The folder of all of ours below the cgroup we are in. */
const family = 'tri-agent'
/** What a systemd unit with `DelegateSubgroup=daemon` calls the daemon's own part of what was given to it. */
const subgroup = 'daemon'

/** One attempt may have so many processes at a time; a parallel build has a few hundred. */
const processesMax = 4096
/** What admission keeps free for the rest of the machine (numbers.md). */
const spareBytes = 1024 ** 3

/** By controller: the limits of one box. */
const limitsOf = (): Readonly<Record<string, Readonly<Record<string, string>>>> => ({
  pids: { 'pids.max': String(processesMax) },
  memory: { 'memory.max': String(Math.max(spareBytes, totalmem() - spareBytes)), 'memory.oom.group': '1' },
})

/** Where this process may make cgroups for the boxes of `folder`, found by making one; or why it may not. */
export function findCgroupPlace(folder: string): CgroupPlace | { missing: string } {
  const own = cgroupFolder()
  if (own === null) return { missing: 'this system has no cgroups of version 2' }
  const above = basename(own) === subgroup ? dirname(own) : own
  const tried = join(above, `${family}-look-${makerMark()}`)
  try {
    accessSync(join(above, 'cgroup.procs'), constants.W_OK)
    mkdirSync(tried)
    const kills = existsSync(join(tried, 'cgroup.kill'))
    rmdirSync(tried)
    if (!kills) return { missing: 'this kernel cannot kill a cgroup (Linux 5.14 can)' }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return {
      missing: `the cgroup it is started in is not its own to divide (${code}): systemd-run --user --scope -p Delegate=yes tri-agent up, or Delegate=yes in its unit`,
    }
  }
  const controllers = Object.keys(limitsOf())
  return { above, house: houseOf(folder), controllers, unlimited: whyUnlimited(above, controllers) }
}

function whyUnlimited(above: string, controllers: readonly string[]): string | null {
  const there = readFileSync(join(above, 'cgroup.controllers'), 'utf8').trim().split(' ')
  const lacking = controllers.filter((each) => !there.includes(each))
  if (lacking.length > 0) return `no limit on ${lacking.join(' and ')}: cgroup v2 has not that controller here`
  try {
    permit(above, controllers)
    return null
  } catch (error) {
    return `no limits on ${controllers.join(' and ')}: the cgroup it is started in holds processes itself (${(error as NodeJS.ErrnoException).code}); DelegateSubgroup=${subgroup} in its unit keeps them apart`
  }
}

/** Lets what is below a cgroup have these limits. */
const permit = (folder: string, controllers: readonly string[]): void =>
  writeFileSync(join(folder, 'cgroup.subtree_control'), controllers.map((each) => `+${each}`).join(' '))

/** Makes the cgroup of a box whose tree has the folder `area`. */
export function makeCgroup(
  { above, house, controllers, unlimited }: CgroupPlace,
  world: Pick<World, 'secret'>,
  area: string,
  limits: Readonly<Record<string, Readonly<Record<string, string>>>> = limitsOf(),
): Cgroup {
  const parent = join(above, family)
  const folder = join(parent, `${treeMark(area)}-${house}-${makerMark()}-${world.secret(4)}`)
  for (let tries = 1; ; tries += 1)
    try {
      mkdirSync(parent, { recursive: true })
      if (unlimited === null) permit(parent, controllers)
      mkdirSync(folder)
      break
    } catch (error) {
      // whoever removed his last one took the parent with it
      if (tries > 10 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  if (unlimited === null)
    for (const [name, value] of controllers.flatMap((each) => Object.entries(limits[each] ?? {})))
      writeFileSync(join(folder, name), value)
  return cgroupAt(folder)
}

function cgroupAt(folder: string): Cgroup {
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), 'utf8')
    } catch (error) {
      if (['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) return '' // removed since
      throw error
    }
  }
  return {
    enter: (pid) =>
      // the kernel may take its time: never while everything waits
      writeFile(join(folder, 'cgroup.procs'), String(pid)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ESRCH') throw error // it has ended already, and says itself how
      }),
    kill: () => {
      if (existsSync(folder)) writeFileSync(join(folder, 'cgroup.kill'), '1')
    },
    count: () =>
      /^populated 1$/m.test(read('cgroup.events'))
        ? Math.max(1, read('cgroup.procs').split('\n').filter(Boolean).length) // the last thread of one may still be on its way out
        : 0,
    cpuMs() {
      const used = /^usage_usec (\d+)$/m.exec(read('cpu.stat'))?.[1]
      return used === undefined ? null : Number(used) / 1000
    },
    remove: () => {
      try {
        rmdirSync(folder)
        rmdirSync(dirname(folder)) // the last one takes the folder of all with it
      } catch {
        // not empty, or somebody else's hand was quicker: the reaper looks again
      }
    },
  }
}

const shape = new RegExp(`^([0-9a-f]+)-([0-9a-f]+)-${makerShape}-[0-9a-f]+$`)

/** Those of ours, below the cgroup we are in, that fit. */
function listed(fits: (words: RegExpExecArray) => boolean): string[] {
  const own = cgroupFolder()
  if (own === null) return []
  const parent = join(basename(own) === subgroup ? dirname(own) : own, family)
  return (existsSync(parent) ? readdirSync(parent) : [])
    .filter((name) => {
      const words = shape.exec(name)
      return words !== null && fits(words)
    })
    .map((name) => join(parent, name))
}

/** Those of the boxes of `folder` whose makers are gone. */
export const abandonedCgroups = (folder: string): string[] =>
  listed((words) => words[2] === houseOf(folder) && isMakerGone(words.slice(3)))

/** Removes the empty ones of other folders whose makers are gone: of a look that was killed, say. */
export const sweepEmptyCgroups = (): void =>
  listed((words) => isMakerGone(words.slice(3))).forEach((folder) => {
    const cgroup = cgroupAt(folder)
    if (cgroup.count() === 0) cgroup.remove()
  })

/** SIGKILL to all that is in the cgroups of the tree whose folder this is. */
export const killCgroupsOf = (area: string): void =>
  listed((words) => words[1] === treeMark(area)).forEach((folder) => cgroupAt(folder).kill())

/** A killed one is empty within milliseconds; one in which something lives for longer is met again. */
const emptyMs = 1000
const lookMs = 2

/** Ends an abandoned one; false while something in it lives. */
export async function endCgroup({ clock, timer }: Pick<World, 'clock' | 'timer'>, folder: string): Promise<boolean> {
  const cgroup = cgroupAt(folder)
  const began = clock.mono()
  cgroup.kill()
  while (cgroup.count() > 0 && clock.mono() - began < emptyMs) await timer.sleep(lookMs)
  cgroup.remove()
  return !existsSync(folder)
}
