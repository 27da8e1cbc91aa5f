/** The warm pool against real git: what is wanted becomes ready without anybody having made a folder for it, is taken once, and never for another repository. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultRepositorySettings } from '../core/setting.ts'
import { makeScratch, refreshed, type Scratch } from '../git/fixture.ts'
import { realWorld, type World } from '../host/world.ts'
import { makeArea } from '../sandbox/area.ts'
import { sealLayer } from '../sandbox/layer.ts'
import { layAhead, layersIn, originOf, setUp } from '../stage/setup.ts'
import type { GateWork, StagePorts } from '../stage/stage.ts'
import { clonePool } from './pool.ts'

const soon: World = { ...realWorld(), timer: { ...realWorld().timer, sleep: () => Promise.resolve() } }

const poolIn = (scratch: Scratch, folder: string, slots: number) => {
  const failures: unknown[] = []
  const failed = (error: unknown) => failures.push(error)
  return { failures, pool: clonePool({ world: soon, git: scratch.git, folder, slots, objectsInside: null, failed }) }
}

test('a clone that is wanted is made ahead, taken once, and taken only for its own repository and commit', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const folder = scratch.place('warm')
  const made = poolIn(scratch, folder, 1)
  {
    await using pool = made.pool
    pool.want('repo_1', scratch.stores, base)
    await pool.settled()
    assert.deepEqual(made.failures, [])

    const elsewhere = { ...scratch.stores, mirror: scratch.place('other-mirror') }
    const into = scratch.place('work')
    assert.equal(await pool.take(elsewhere, base, into), null, 'of another repository')
    assert.equal(await pool.take(scratch.stores, base.replaceAll(/./g, '0'), into), null, 'of another commit')
    assert.deepEqual(await pool.take(scratch.stores, base, into), { laid: null })
    assert.equal(await readFile(join(into, 'readme.md'), 'utf8'), 'one\ntwo\nthree\n')
    assert.equal(await pool.take(scratch.stores, base, scratch.place('work')), null, 'a second time')
  }
  assert.equal(existsSync(folder), false, 'nothing is left when it ends')
})

test('there is a clone for each slot and no more, and when the base moves all of them are of the new one', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const folder = scratch.place('warm')
  const made = poolIn(scratch, folder, 2)
  await using pool = made.pool
  for (let n = 0; n < 3; n++) pool.want('repo_1', scratch.stores, base)
  await pool.settled()
  const first = readdirSync(folder)
  assert.deepEqual([first.length, first.every(pool.has)], [2, true])
  await scratch.commit(scratch.stores.source, { 'readme.md': 'another\n' })
  const moved = (await refreshed(scratch)).base
  pool.want('repo_1', scratch.stores, moved)
  await pool.settled()
  const second = readdirSync(folder)
  assert.deepEqual([second.length, second.filter((name) => first.includes(name)), first.some(pool.has)], [2, [], false])
  const taken = [1, 2, 3].map((n) => pool.take(scratch.stores, moved, scratch.place(`work${n}`)))
  assert.deepEqual(await Promise.all(taken), [{ laid: null }, { laid: null }, null])
  assert.deepEqual(made.failures, [])
})

test('a clone made ahead has the sealed set-up layer laid over, its own to write in; another lockfile is another layer', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  await scratch.commit(source, { 'deps.lock': '1\n' })
  const { base } = await refreshed(scratch)
  const layers = layersIn(scratch.place('layers'))
  const ports = { git: scratch.git, layers, sandbox: { rung: 'namespace' as const, overlays: false } }
  const repo = { id: 'repo_1', name: 'r', stores: scratch.stores, base, tip: base, target: 'landing', targetTip: null }
  const repository = { ...defaultRepositorySettings(), setup: ['make deps'], setupKey: ['deps.lock'] }
  const work = { repo, repository, toolchain: [] }
  const lay = (into: string) => layAhead(ports, work, base, into)
  const made = poolIn(scratch, scratch.place('warm'), 1)
  await using pool = made.pool
  const take = async () => {
    pool.want('repo_1', scratch.stores, base, lay)
    await pool.settled()
    const into = scratch.place('work')
    return { into, taken: await pool.take(scratch.stores, base, into) }
  }
  assert.deepEqual((await take()).taken, { laid: null }, 'no layer is made ahead')
  const { name } = await originOf(ports, work, base)
  const sealed = await layers.get(name, async (into) => {
    const tree = scratch.place('tree')
    await mkdir(join(tree, 'deps'), { recursive: true })
    await writeFile(join(tree, 'deps/made.txt'), 'made')
    await sealLayer(tree, new Set(), into)
    return null
  })
  assert.ok('folder' in sealed)
  const { into, taken } = await take()
  assert.deepEqual(taken, { laid: { layer: name, added: ['deps'] } })
  await writeFile(join(into, 'deps/made.txt'), 'changed')
  assert.equal(
    await readFile(join(sealed.folder, 'files/deps/made.txt'), 'utf8'),
    'made',
    'the sealed one is as it was',
  )
  let again = 0
  const setUpWith = async (layer: string) => {
    const area = await makeArea(scratch.place('area'))
    await mkdir(area.work)
    const laid = { layer, added: ['deps'], again: async () => void (again += 1) }
    const done = await setUp(ports as unknown as StagePorts, work as unknown as GateWork, base, area, laid)
    assert.ok('added' in done)
    assert.deepEqual(done.area, area)
    return [done.added, readdirSync(area.work), again]
  }
  assert.deepEqual(await setUpWith(name), [['deps'], [], 0], 'what is laid already is not laid again')
  assert.deepEqual(await setUpWith('another'), [['deps'], ['deps'], 1], 'what is not its own is made anew')
  await chmod(join(sealed.folder, 'files/deps'), 0o700)
  await chmod(join(sealed.folder, 'files'), 0o700)

  const keyAt = async (files: Record<string, string>) => {
    const commit = await scratch.commit(source, files)
    await refreshed(scratch)
    return (await originOf(ports, work, commit)).name
  }
  assert.equal(await keyAt({ 'other.md': 'x\n' }), name, 'what set-up does not depend on changes nothing')
  assert.notEqual(await keyAt({ 'deps.lock': '2\n' }), name)
  assert.deepEqual(made.failures, [])
})
