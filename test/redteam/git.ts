/**
 * Git's doors to other programs. Each is armed in a copy and pulled by plain git, which is its control; then armed, a few at a time so that none hides
 * another, in the user's repository and in an attempt's clone, and worked with by us.
 */
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRefusal } from '../../src/core/refusal.ts'
import { makeScratch, refreshed, type Scratch } from '../../src/git/fixture.ts'
import type { Verdict } from '../../src/sandbox/assault.ts'
import { vectors, writerIn, type Armoury, type Vector } from './vector.ts'

/** Neighbours in the list would hide each other (filters, signers), so they never meet. */
const batches = 6

/** One verdict for each vector. */
export async function openDoors(): Promise<Verdict[]> {
  const firing = await pullAll()
  const together = Array.from({ length: batches }, (_, batch) =>
    vectors.filter((each, index) => !each.alone && index % batches === batch),
  )
  const breached = new Set<Vector>()
  await inTwos([...together, ...vectors.filter(({ alone }) => alone).map((each) => [each])], async (list) => {
    for (const each of await openedByUs(list)) breached.add(each)
  })
  return vectors.map((vector) => ({
    name: vector.name,
    group: 'git',
    ...(firing.has(vector) ? { state: breached.has(vector) ? 'breached' : 'held' } : idle),
  }))
}

const idle = { state: 'idle', why: 'its control did not fire' } as const

async function inTwos<T>(list: readonly T[], work: (each: T) => Promise<void>): Promise<void> {
  const waiting = [...list]
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await work(next)
  }
  await Promise.all([worker(), worker()])
}

/** Those that start something when git is used plainly. */
async function pullAll(): Promise<Set<Vector>> {
  await using scratch = await makeScratch()
  await makeBranches(scratch)
  const firing = new Set<Vector>()
  await inTwos(vectors, async (vector) => {
    const dir = scratch.place('copy')
    await cp(scratch.stores.source, dir, { recursive: true })
    await cp(scratch.stores.source, `${dir}-beside`, { recursive: true })
    const { door, fired } = await makeDoor(scratch, vector)
    const beside: Armoury['beside'] = (args) => scratch.type(`${dir}-beside`, args)
    await beside(['commit', '-q', '--allow-empty', '-m', 'Beside'])
    const at = { ...armoury(scratch, dir, door), beside }
    await vector.arm(at)
    await fired()
    await Promise.resolve(vector.pull(at)).catch(() => 'what it started may well fail')
    if (await fired()) firing.add(vector)
  })
  return firing
}

/** Those of a batch that start something when we work. */
async function openedByUs(batch: readonly Vector[]): Promise<Vector[]> {
  await using scratch = await makeScratch()
  await makeBranches(scratch)
  const { git, stores, type, commit } = scratch
  await type(stores.source, ['checkout', '-q', '--detach'])
  const { base } = await refreshed(scratch)
  const bundle = await scratch.attempt(base, (dir) => commit(dir, { 'work.md': 'work\n' }))
  const clone = scratch.place('clone')
  await git.clone(stores, base, clone, null)
  const doors = await Promise.all(batch.map(async (vector) => ({ vector, ...(await makeDoor(scratch, vector)) })))
  for (const { vector, door } of doors)
    for (const dir of [stores.source, clone]) await vector.arm(armoury(scratch, dir, door))
  for (const { fired } of doors) await fired() // arming is plain git
  await useAll(scratch, base, bundle)
  const opened = await Promise.all(doors.map(async ({ vector, fired }) => ((await fired()) ? [vector] : [])))
  return opened.flat()
}

/** Everything we do with a repository and with what an attempt hands over. */
async function useAll({ git, stores, place }: Scratch, base: string, bundle: string): Promise<void> {
  const tips = await git.refresh(stores, 'main', 'tri-agent/landing')
  const candidate = await git.intake(stores, bundle, base, 'task_1/1')
  if (isRefusal(tips) || isRefusal(candidate)) throw new Error('what is armed must not hinder us')
  const side = await git.fetchRef(stores, 'side', base)
  if (isRefusal(side)) throw new Error(side.why)
  await git.mergeTree(stores, candidate.commit, side.commit)
  await git.diff(stores, base, candidate.commit)
  await git.changedPaths(stores, base, candidate.commit)
  await git.readFile(stores, candidate.commit, 'work.md')
  await git.checkout(stores, candidate.tree, place('files'))
  await git.clone(stores, candidate.commit, place('next'), null)
  const commit = await git.commitTree(stores, { tree: candidate.tree, parent: base, message: 'x', at: 0 })
  const landed = await git.land(stores, 'tri-agent/landing', null, commit)
  if (isRefusal(landed)) throw new Error(landed.why)
  await git.history(stores, 'tri-agent/landing', null)
}

/** `side` and `apart` leave from the start: the first changes what main changes, the second something of its own. */
async function makeBranches({ stores, type, commit }: Scratch): Promise<void> {
  const { source } = stores
  await type(source, ['checkout', '-q', '-b', 'side'])
  await commit(source, { 'readme.md': 'side\n' })
  await type(source, ['checkout', '-q', '-b', 'apart', 'main'])
  await commit(source, { 'apart.md': 'apart\n' })
  await type(source, ['checkout', '-q', 'main'])
  await commit(source, { 'readme.md': 'main\n' })
}

/** A program that leaves a sign, and a look at the sign, which takes it away. */
async function makeDoor(scratch: Scratch, vector: Vector) {
  const folder = scratch.place('door')
  await mkdir(folder)
  const [door, sign] = [join(folder, 'open'), join(folder, 'sign')]
  await writeFile(door, `#!/bin/sh\n# ${vector.name}\necho fired > '${sign}'\nexit 0\n`)
  await chmod(door, 0o755)
  const fired = async () => {
    const is = existsSync(sign)
    await rm(sign, { force: true })
    return is
  }
  return { door, fired }
}

const armoury = ({ type }: Scratch, dir: string, door: string): Armoury => ({
  dir,
  door,
  git: (args, stdin = '') => type(dir, args, stdin),
  beside: () => Promise.reject(new Error('there is nobody beside it')),
  write: writerIn(dir),
})
