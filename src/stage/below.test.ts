/** Work in a tree whose dependencies lie below it: real git, real commands, the rung namespace. */
import assert from 'node:assert/strict'
import { mkdir, readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { defaultRepositorySettings, defaultSettings } from '../core/setting.ts'
import { makeScratch, refreshed, searchPath } from '../git/fixture.ts'
import { realWorld } from '../host/world.ts'
import { makeArea } from '../sandbox/area.ts'
import { createSandbox } from '../sandbox/create.ts'
import { objectsInside, type Asked } from './ask.ts'
import { contain } from './contain.ts'
import { handOff } from './hand-off.ts'
import { layersIn, setUp } from './setup.ts'
import type { StagePorts, Work } from './stage.ts'

test('what is bundled is the work alone, whatever was done to the layer; the next tree has the layer as it was', async (context) => {
  await using scratch = await makeScratch()
  const world = realWorld()
  const sandbox = await createSandbox(world, {
    lowest: 'namespace',
    rung: 'namespace',
    path: searchPath,
    folder: scratch.place('sandbox'),
  })
  if (isRefusal(sandbox)) return context.skip(sandbox.why)
  if (!sandbox.overlays) return context.skip('this machine copies its layers')
  const { source } = scratch.stores
  await scratch.commit(source, { 'deps.lock': '1\n', 'README.md': 'before\n', 'gone.md': 'x\n' })
  const { base } = await refreshed(scratch)
  const layers = scratch.place('layers')
  const ports = {
    world,
    git: scratch.git,
    sandbox,
    settings: defaultSettings(2),
    layers: layersIn(layers),
    registries: { open: async () => nobody },
  } as unknown as StagePorts
  const setup = ['mkdir -p node_modules/a node_modules/b', 'echo made | tee node_modules/a/x >node_modules/b/y']
  const work = {
    repo: { id: 'r', name: 'shop', stores: scratch.stores, base, tip: base, target: 't', targetTip: null },
    repository: { ...defaultRepositorySettings(), setup, setupKey: ['deps.lock'] },
    toolchain: [],
    registries: [],
    folder: scratch.place('attempt'),
    signal: new AbortController().signal,
    secrets: [],
    hurry: new AbortController().signal,
    isDrained: () => false,
    onOutput: () => {},
    active: () => {},
    started: async () => {},
    ended: async () => {},
  } as unknown as Work
  const lay = async () => {
    const area = await makeArea(scratch.place('area'))
    await scratch.git.clone(scratch.stores, base, area.work, objectsInside)
    const done = await setUp(ports, work, base, area)
    assert.ok('area' in done, JSON.stringify(done))
    assert.deepEqual(done.added, ['node_modules'])
    await mkdir(join(area.work, '.git', 'info'), { recursive: true })
    return done.area
  }
  const mounts = scratch.git
    .objectFolders(scratch.stores)
    .map((from, index) => ({ from, to: `${objectsInside}/${index}`, mode: 'ro' as const }))
  const script = [
    'set -e; cat node_modules/a/x; echo /node_modules >>.git/info/exclude',
    'rm -rf node_modules/a; echo own >node_modules/b/y; echo after >README.md; rm gone.md; echo new >new.md',
  ].join('\n')
  const area = await lay()
  const box = { area, argv: ['/bin/sh', '-c', script], env: {}, stdin: null, mounts, gateway: null }
  const ran = await contain(ports, work, box, 60_000)
  assert.deepEqual([ran.code, ran.tail], [0, 'made\n'])
  assert.equal(await handOff(ports, work, { area, mounts } as unknown as Asked, base), null)
  const candidate = await scratch.git.intake(scratch.stores, join(area.out, 'task.bundle'), base, 'task_1/1')
  assert.ok(!isRefusal(candidate), JSON.stringify(candidate))
  assert.deepEqual(candidate.changes.map(({ path }) => path).toSorted(), ['README.md', 'gone.md', 'new.md'])
  const [layer] = await readdir(layers)
  assert.equal(await readFile(join(layers, layer!, 'files/node_modules/b/y'), 'utf8'), 'made\n')
  const next = await contain(ports, work, { ...box, area: await lay() }, 60_000)
  assert.deepEqual([next.code, next.tail], [0, 'made\n'])
})

const nobody = {
  gateway: null,
  env: {},
  files: [],
  secrets: [],
  withheld: [],
  reached: () => [],
  [Symbol.asyncDispose]: async () => {},
}
