/** Gates on real trees: real git, real commands on the group rung. */
import assert from 'node:assert/strict'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { blockers, type Gate, type GateReport } from '../core/gate.ts'
import { isRefusal } from '../core/refusal.ts'
import { defaultRepositorySettings, defaultSettings } from '../core/setting.ts'
import type { Running, Task } from '../core/task.ts'
import { makeScratch, refreshed, searchPath, type Scratch } from '../git/fixture.ts'
import { environment } from '../host/environment.ts'
import { realWorld } from '../host/world.ts'
import { createSandbox } from '../sandbox/create.ts'
import { executeGates, type GatesDone } from './gates.ts'
import { layersIn } from './setup.ts'
import type { StagePorts, Work } from './stage.ts'

/** Executes gates as verify does, and keeps the reports as the daemon does. */
async function gatekeeper(scratch: Scratch, gates: readonly Gate[]) {
  const world = realWorld()
  const sandbox = await createSandbox(world, {
    lowest: 'group',
    rung: 'group',
    path: searchPath,
    folder: scratch.place('sandbox'),
  })
  if (isRefusal(sandbox)) throw new Error(sandbox.why)
  const kept = new Map<string, GateReport>()
  const ports: StagePorts = {
    world,
    git: scratch.git,
    sandbox,
    settings: defaultSettings(2),
    agent: () => null,
    layers: layersIn(scratch.place('layers')),
    pool: { take: async () => null },
    registries: { open: () => Promise.reject(new Error('gates reach no registry')) },
  }
  return async (treeish: string, base: string) => {
    const tree = await scratch.type(scratch.stores.source, ['rev-parse', `${treeish}^{tree}`])
    await refreshed(scratch)
    const executed: string[] = []
    const work: Work = {
      task: {} as Task,
      attempt: {} as Running,
      repo: {
        id: 'repo',
        name: 'shop',
        stores: scratch.stores,
        base,
        tip: base,
        target: 'tri-agent/landing',
        targetTip: null,
      },
      repository: { ...defaultRepositorySettings(), gates: [...gates] },
      toolchain: [],
      registries: [],
      folder: scratch.place('attempt'),
      signal: new AbortController().signal,
      secrets: [],
      gateway: null,
      onAgentEvent: () => {},
      onOutput: (stream, line) => stream === 'note' && executed.push(line),
      active: () => {},
      started: async () => {},
      ended: async () => {},
      isOverBudget: () => false,
      isDrained: () => false,
      hurry: new AbortController().signal,
      keep: async () => null,
      kept: null,
      finished: async () => {},
      anchor: async () => null,
      cachedGates: async (of, key) => {
        const found = kept.get(`${of} ${key}`)
        return found ? { ...found, reused: true } : null
      },
    }
    const done: GatesDone = await executeGates(ports, work, tree, base)
    if ('failed' in done) throw new Error(done.failed)
    for (const report of done.made) kept.set(`${report.tree} ${report.key}`, report)
    return {
      blocking: blockers(gates, done.report),
      baseline: done.report.baseline,
      executed: executed.length,
      ...leftOut(done.report),
    }
  }
}

const leftOut = ({ notConcerned = [] }: GateReport) => (notConcerned.length === 0 ? {} : { notConcerned })

const allowed: Gate = { name: 'old', command: 'test ! -e bad', timeoutMs: 10_000, baseline: 'allow' }

test('a red gate is excused by a base that is red too, its result is reused, and a base that was mended excuses nothing', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const red = await scratch.commit(source, { bad: '' })
  const candidate = await scratch.commit(source, { feature: '' })
  const judge = await gatekeeper(scratch, [allowed])
  assert.deepEqual(await judge(candidate, red), { blocking: [], baseline: ['old'], executed: 4 })
  assert.deepEqual(await judge(candidate, red), { blocking: [], baseline: ['old'], executed: 0 })
  await scratch.type(source, ['rm', '-q', 'bad'])
  const mended = await scratch.commit(source, {})
  assert.deepEqual(await judge(candidate, mended), { blocking: ['old'], baseline: [], executed: 2 })
})

test('a gate that may not be red on the base blocks, and the base is not asked', async () => {
  await using scratch = await makeScratch()
  const red = await scratch.commit(scratch.stores.source, { bad: '' })
  const judge = await gatekeeper(scratch, [{ ...allowed, baseline: 'block' }])
  assert.deepEqual(await judge(red, red), { blocking: ['old'], baseline: [], executed: 2 })
})

test('a gate that somebody kills says nothing about the work: it is no red one', async () => {
  await using scratch = await makeScratch()
  const ask = await gatekeeper(scratch, [{ name: 'test', command: 'kill -9 $$', timeoutMs: 60_000, baseline: 'block' }])
  const commit = await scratch.commit(scratch.stores.source, { kept: '' })
  await assert.rejects(ask(commit, commit), {
    code: 'killed',
    message: /somebody else killed it while it was at work: kill -9/,
  })
})

test('gates see the tree alone: tracked files, no .git, no variable of ours', async () => {
  await using scratch = await makeScratch()
  assert.ok(environment()['NODE_TEST_CONTEXT'], 'what must not be seen is there')
  const commit = await scratch.commit(scratch.stores.source, { kept: '' })
  const gate = (name: string, command: string): Gate => ({ name, command, timeoutMs: 10_000, baseline: 'block' })
  const judge = await gatekeeper(scratch, [
    gate('tracked', 'test -e kept && test ! -e .git'),
    gate('environment', 'test -z "$NODE_TEST_CONTEXT" && test "$CI" = true'),
  ])
  assert.deepEqual(await judge(commit, commit), { blocking: [], baseline: [], executed: 4 })
})

test('gates by path: what a change does not touch is left out and said; the same tree over another base is judged by what differs', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const gate = (name: string, more: Partial<Gate> = {}): Gate => ({
    name,
    command: `test ! -e ${name}/bad`,
    timeoutMs: 10_000,
    baseline: 'block',
    ...more,
  })
  const judge = await gatekeeper(scratch, [
    gate('web', { paths: ['web/**'] }),
    gate('old', { command: 'test ! -e old', baseline: 'allow', paths: ['api', 'old'] }),
    gate('all'),
  ])
  const first = await scratch.commit(source, { 'web/a': '', 'api/a': '', old: '' })
  const second = await scratch.commit(source, { 'web/bad': '' })
  const third = await scratch.commit(source, { 'api/b': '' })
  const fourth = await scratch.commit(source, { 'web/b': '' })
  // The api alone changed: the broken web is not looked at, and what is red in `old` was so before.
  assert.deepEqual(await judge(third, second), { blocking: [], baseline: ['old'], executed: 8, notConcerned: ['web'] })
  assert.deepEqual(await judge(third, second), { blocking: [], baseline: ['old'], executed: 0, notConcerned: ['web'] })
  // The same tree as a larger change: its results are not those kept under the smaller one.
  assert.deepEqual(await judge(third, first), { blocking: ['web'], baseline: ['old'], executed: 12 })
  assert.deepEqual(await judge(fourth, third), { blocking: ['web'], baseline: [], executed: 4, notConcerned: ['old'] })
  // Nothing differs: the base itself is looked at, with every gate; it was, above.
  assert.deepEqual(await judge(first, first), { blocking: [], baseline: ['old'], executed: 0 })
})

test('a gate that is red without a submodule is not remembered once the submodule is there', async () => {
  await using scratch = await makeScratch()
  const { stores, type, commit } = scratch
  const lib = join(stores.source, 'lib')
  await mkdir(lib)
  await type(lib, ['init', '-q', '-b', 'main'])
  await commit(lib, { 'goods.txt': 'tea\n' })
  await writeFile(join(stores.source, '.gitmodules'), '[submodule "lib"]\n\tpath = lib\n\turl = ../lib\n')
  const base = await commit(stores.source, {})
  await rename(join(lib, '.git'), join(scratch.root, 'away'))
  const executeOn = await gatekeeper(scratch, [
    { name: 'test', command: 'grep -q tea lib/goods.txt', timeoutMs: 10_000, baseline: 'block' },
  ])
  assert.deepEqual((await executeOn(base, base)).blocking, ['test'])
  assert.equal(
    (await executeOn(base, base)).executed,
    1,
    'only the note on what is not there: the result is remembered',
  )
  await rename(join(scratch.root, 'away'), join(lib, '.git'))
  assert.deepEqual((await executeOn(base, base)).blocking, [])
})
