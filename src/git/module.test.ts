import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { appendFile, chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { nothingOutside } from '../core/outside.ts'
import { isRefusal } from '../core/refusal.ts'
import { realWorld } from '../host/world.ts'
import { makeScratch, refreshed, searchPath, writeRawTree, type Scratch } from './fixture.ts'
import { inspectRepository } from './inspect.ts'
import type { Sha } from './git.ts'

const asked = ['-c', 'protocol.file.allow=always']

/** A repository of one file, at `name`. */
async function library({ type, commit, root }: Scratch, name: string, files: Record<string, string>): Promise<string> {
  const folder = join(root, name)
  await mkdir(folder)
  await type(folder, ['init', '-q', '-b', 'main'])
  await commit(folder, files)
  return folder
}

/** `source` with a submodule `vendor/lib`, which has one called `deep`, in a clone that has them all. */
async function nested(scratch: Scratch): Promise<{ base: Sha; lib: string }> {
  const { stores, type } = scratch
  const deep = await library(scratch, 'deep', { 'deep.txt': 'deep\n' })
  const lib = await library(scratch, 'lib', { 'lib.txt': 'lib\r\n', '.gitattributes': '* text=auto\n' })
  await type(lib, [...asked, 'submodule', '--quiet', 'add', deep, 'deep'])
  await type(lib, ['commit', '-q', '-m', 'Depend on deep'])
  await type(stores.source, [...asked, 'submodule', '--quiet', 'add', '--name', 'a b', lib, 'vendor/lib'])
  await type(stores.source, [...asked, 'submodule', '--quiet', 'update', '--init', '--recursive'])
  await type(stores.source, ['commit', '-q', '-m', 'Depend on lib'])
  return { base: (await refreshed(scratch)).base, lib }
}

async function look(scratch: Scratch) {
  const how = { folder: scratch.stores.source, path: searchPath, base: null }
  const seen = await inspectRepository(realWorld(), how)
  assert.ok(!isRefusal(seen))
  return seen.outside
}

const all = {
  modules: ['vendor/lib', 'vendor/lib/deep'].map((path) => ({ path, there: true })),
  large: nothingOutside.large,
}

test('files of submodules are in every checkout and clone at the recorded commits, taken from the clone alone', async () => {
  await using scratch = await makeScratch()
  const { git, stores, place, type, root } = scratch
  const { base, lib } = await nested(scratch)
  await scratch.commit(lib, { 'lib.txt': 'newer\n' }) // what is there by now is not what is recorded
  await rm(join(root, 'deep'), { recursive: true })
  assert.deepEqual(await look(scratch), all)
  const checkout = place('checkout')
  await git.checkout(stores, base, checkout)
  const clone = place('clone')
  await git.clone(stores, base, clone, null)
  for (const folder of [checkout, clone]) {
    assert.equal(await readFile(join(folder, 'vendor/lib/lib.txt'), 'utf8'), 'lib\n', 'as it is recorded')
    assert.equal(await readFile(join(folder, 'vendor/lib/deep/deep.txt'), 'utf8'), 'deep\n')
    assert.equal(existsSync(join(folder, 'vendor/lib/.git')), false, 'and is no repository')
  }
  await writeFile(join(clone, 'vendor/lib/lib.txt'), 'changed\n')
  await writeFile(join(clone, 'vendor/lib/new.txt'), 'new\n')
  await type(clone, ['add', '--all'])
  assert.equal(await type(clone, ['status', '--porcelain']), '', 'and what is done in it is no work')
  assert.deepEqual(
    (await git.listFiles(stores, base)).filter((path) => path.startsWith('vendor')).toSorted(),
    ['', '/.gitattributes', '/.gitmodules', '/deep', '/deep/deep.txt', '/lib.txt'].map((path) => `vendor/lib${path}`),
  )
})

test('what was brought stays when the clone has it no more, and what was not there is found once it is', async () => {
  await using scratch = await makeScratch()
  const { git, stores, place } = scratch
  const { base } = await nested(scratch)
  const modules = join(stores.source, '.git/modules')
  await rename(modules, join(scratch.root, 'away'))
  assert.deepEqual(await git.outside(stores, base), all)
  await rm(join(stores.quarantine, '../modules.git'), { recursive: true })
  const none = all.modules.slice(0, 1).map((each) => ({ ...each, there: false }))
  assert.deepEqual(await git.outside(stores, base), { ...all, modules: none })
  assert.deepEqual((await look(scratch)).modules, none)
  const empty = place('checkout')
  await git.checkout(stores, base, empty)
  assert.deepEqual(await readdir(join(empty, 'vendor/lib')), [])
  await rename(join(scratch.root, 'away'), modules)
  const whole = place('checkout')
  await git.checkout(stores, base, whole)
  assert.equal(await readFile(join(whole, 'vendor/lib/deep/deep.txt'), 'utf8'), 'deep\n')
})

test('a submodule that was never absorbed is found in its folder; a landing carries nothing of any', async () => {
  await using scratch = await makeScratch()
  const { git, stores, place, type, attempt, commit } = scratch
  const lib = join(stores.source, 'lib')
  await mkdir(lib)
  await type(lib, ['init', '-q', '-b', 'main'])
  await commit(lib, { 'lib.txt': 'old style\n' })
  await writeFile(join(stores.source, '.gitmodules'), '[submodule "lib"]\n\tpath = lib\n\turl = ../lib\n')
  await commit(stores.source, {})
  const { base } = await refreshed(scratch)
  const folder = place('checkout')
  await git.checkout(stores, base, folder)
  assert.equal(await readFile(join(folder, 'lib/lib.txt'), 'utf8'), 'old style\n')
  await rm(join(lib, '.git'), { recursive: true })
  const bundle = await attempt(base, (dir) => commit(dir, { 'work.txt': 'work\n', 'lib/lib.txt': 'changed\n' }))
  const candidate = await git.intake(stores, bundle, base, 'task_1/1')
  assert.ok(!isRefusal(candidate))
  assert.deepEqual(
    candidate.changes.map(({ path }) => path),
    ['work.txt'],
  )
  const landed = await git.commitTree(stores, { tree: candidate.tree, parent: base, message: 'Land', at: 0 })
  assert.deepEqual(await git.land(stores, 'landing', null, landed), { landed: true })
  const listed = await type(stores.source, ['cat-file', '--batch-all-objects', '--batch-check'])
  const blob = await type(stores.source, ['hash-object', 'lib/lib.txt'])
  assert.equal(listed.includes(blob), false, 'no file of the submodule is in the repository that names it')
})

test('names, paths, addresses and settings of submodules that mean harm are inert', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type, root, place } = scratch
  const secret = await library(scratch, 'secret', { 'secret.txt': 'secret\n' })
  const hidden = await type(secret, ['rev-parse', 'HEAD'])
  const canary = join(root, 'canary')
  await rename(secret, join(stores.source, '.git', 'secret'))
  await rename(join(stores.source, '.git', 'secret', '.git'), join(stores.source, '.git', 'secret.git'))
  const evil = [
    ['evil1', '../secret.git', `ext::sh -c "touch ${canary}"`],
    ['evil2', 'x/../../secret.git', `--upload-pack=touch ${canary}`],
    ['evil3', '..\\secret.git', 'file:///etc'],
    ['-c', 'core.fsmonitor', '!touch x'],
  ]
  const text = evil.map(
    ([path, name, url]) =>
      `[submodule "${name!.replaceAll('\\', '\\\\')}"]\n\tpath = ${path}\n\turl = ${JSON.stringify(url)}\n\tupdate = !touch ${canary}\n`,
  )
  await writeFile(join(stores.source, '.gitmodules'), `[include]\n\tpath = ${root}/canary.inc\n${text.join('')}`)
  await type(stores.source, ['add', '.gitmodules'])
  for (const [path] of evil)
    await type(stores.source, ['update-index', '--add', '--cacheinfo', `160000,${hidden},${path}`])
  await type(stores.source, ['commit', '-q', '-m', 'Mean harm'])
  const { base } = await refreshed(scratch)
  const folder = place('checkout')
  await git.checkout(stores, base, folder)
  for (const [path] of evil) assert.deepEqual(await readdir(join(folder, path!)), [], path)
  assert.ok((await look(scratch)).modules.every(({ there }) => !there))
  assert.equal(existsSync(canary), false)
})

test("a submodule's own settings, hooks and links are not followed, and a path that leads out is none", async () => {
  await using scratch = await makeScratch()
  const { git, stores, type, root, place } = scratch
  const { base } = await nested(scratch)
  const own = join(stores.source, '.git/modules/a b')
  const canary = join(root, 'canary')
  await writeFile(join(root, 'touch.sh'), `#!/bin/sh\ntouch ${canary}\n`)
  await chmod(join(root, 'touch.sh'), 0o755)
  await appendFile(
    join(own, 'config'),
    `[core]\n\tfsmonitor = ${root}/touch.sh\n\thooksPath = ${root}\n[filter "x"]\n\tsmudge = ${root}/touch.sh\n`,
  )
  await writeFile(join(own, 'info/attributes'), '* filter=x\n')
  await rm(join(stores.quarantine, '../modules.git'), { recursive: true })
  const folder = place('checkout')
  await git.checkout(stores, base, folder)
  assert.equal(await readFile(join(folder, 'vendor/lib/lib.txt'), 'utf8'), 'lib\n')
  assert.equal(existsSync(canary), false)

  await type(root, ['init', '-q', '-b', 'main'])
  await type(root, ['commit', '-q', '--allow-empty', '-m', 'Not ours'])
  const id = await type(root, ['rev-parse', 'HEAD'])
  const out = await writeRawTree(scratch, stores.source, [{ mode: '160000', name: '..', id }])
  const top = await type(stores.source, ['commit-tree', out, '-m', 'Out'])
  await type(stores.source, ['update-ref', 'refs/heads/main', top])
  assert.deepEqual((await look(scratch)).modules, [{ path: '..', there: false }])
  await assert.rejects(git.checkout(stores, out, place('checkout')))
})
