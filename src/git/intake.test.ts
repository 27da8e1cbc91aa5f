import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { makeScratch, refreshed, type Scratch, writeRawTree } from './fixture.ts'
import type { Sha } from './git.ts'

const refusedAs = async (scratch: Scratch, bundle: string, base: Sha) => {
  const answer = await scratch.git.intake(scratch.stores, bundle, base, 'attempt_x')
  return isRefusal(answer) ? answer.refused : answer
}

/** Everything that lies in the quarantine: what is refused must leave no trace. */
const quarantined = async (scratch: Scratch) => {
  const objects = await readdir(join(scratch.stores.quarantine, 'objects'), { recursive: true })
  const top = await readdir(scratch.stores.quarantine)
  return [...objects, ...top.filter((name) => name.startsWith('incoming') || name.startsWith('index'))].toSorted()
}

test('clean work becomes a candidate: its commit, tree, changes and lines', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  let commit = ''
  let tree = ''
  const bundle = await scratch.attempt(base, async (dir) => {
    await scratch.commit(dir, {
      'src/app.ts': 'export const answer = 42\n',
      '.github/ci.yml': 'on: push\n',
      '.gitignore': 'dist\n',
    })
    await rm(join(dir, 'readme.md'))
    await symlink('src/app.ts', join(dir, 'main.ts'))
    commit = await scratch.commit(dir, {})
    tree = await scratch.type(dir, ['rev-parse', 'HEAD^{tree}'])
  })
  assert.deepEqual(await scratch.git.intake(scratch.stores, bundle, base, 'attempt_1'), {
    commit,
    tree,
    base,
    changes: [
      { path: '.github/ci.yml', status: 'added', mode: '100644' },
      { path: '.gitignore', status: 'added', mode: '100644' },
      { path: 'main.ts', status: 'added', mode: '120000' },
      { path: 'readme.md', status: 'deleted', mode: '100644' },
      { path: 'src/app.ts', status: 'modified', mode: '100644' },
    ],
    added: 4,
    removed: 4,
  })
  assert.equal(await scratch.type(scratch.stores.quarantine, ['rev-parse', 'refs/tri-agent/attempt_1']), commit)
  const second = await scratch.attempt(commit, (dir) => scratch.commit(dir, { 'later.txt': 'x\n' }))
  const next = await scratch.git.intake(scratch.stores, second, base, 'attempt_2')
  assert.ok(!isRefusal(next) && next.changes.length === 6, 'a second attempt may build on the first one')
})

test('trees that git would take for a repository or another place are refused; the same tree with a fair name is taken', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const before = await quarantined(scratch)
  const verdicts: Record<string, string> = {}
  for (const name of ['.GIT', '.git', 'git~1', '..', '.git ', '.g\u200cit', '.git::$INDEX_ALLOCATION', 'fair']) {
    const bundle = await scratch.attempt(base, async (dir) => {
      const id = await scratch.type(dir, ['hash-object', '-w', '--stdin'], '#!/bin/sh\n')
      const inner = await writeRawTree(scratch, dir, [{ mode: '100644', name: 'hooks', id }])
      const tree = await writeRawTree(scratch, dir, [{ mode: '40000', name, id: inner }])
      const commit = await scratch.type(dir, ['commit-tree', tree, '-p', base, '-m', 'x'])
      await scratch.type(dir, ['update-ref', 'refs/heads/task', commit])
    })
    if (name === 'fair') assert.deepEqual(await quarantined(scratch), before, 'nothing refused stays')
    const answer = await refusedAs(scratch, bundle, base)
    verdicts[name] = typeof answer === 'string' ? answer : 'taken'
  }
  assert.deepEqual(verdicts, {
    '.GIT': 'unclean',
    '.git': 'unclean',
    'git~1': 'unclean',
    '..': 'unclean',
    '.git ': 'unclean',
    '.g\u200cit': 'unclean',
    '.git::$INDEX_ALLOCATION': 'unclean',
    fair: 'taken',
  })
})

test('links out of the tree, changed submodules and control characters are refused by the policy', async () => {
  await using scratch = await makeScratch()
  const { stores, type } = scratch
  const head = await type(stores.source, ['rev-parse', 'HEAD'])
  await type(stores.source, ['update-index', '--add', '--cacheinfo', `160000,${head},lib`])
  await type(stores.source, ['commit', '-q', '-m', 'Add a submodule'])
  const { base } = await refreshed(scratch)
  const stage = (entry: string) => async (dir: string) => {
    await type(dir, ['update-index', '--add', '--cacheinfo', entry])
    await type(dir, ['commit', '-q', '-m', 'x'])
  }
  const link = (target: string) => async (dir: string) => {
    await mkdir(join(dir, 'deep'))
    await symlink(target, join(dir, 'deep', 'link'))
    await type(dir, ['add', 'deep'])
    await type(dir, ['commit', '-q', '-m', 'x'])
  }
  const why = async (work: (dir: string) => Promise<unknown>) => {
    const answer = await scratch.git.intake(stores, await scratch.attempt(base, work), base, 'attempt_x')
    return isRefusal(answer) ? `${answer.refused}: ${answer.why}` : 'taken'
  }
  const submodule = 'policy: lib: a submodule may not be added, moved or removed'
  assert.equal(await why(stage(`160000,${base},lib`)), submodule)
  assert.equal(await why(stage(`160000,${head},lib2`)), submodule.replace('lib', 'lib2'))
  assert.equal(await why(link('/etc/passwd')), 'policy: deep/link: the link leads out of the tree')
  assert.equal(await why(link('../../x')), 'policy: deep/link: the link leads out of the tree')
  assert.equal(await why(link('../.git/config')), 'policy: deep/link: the link leads into .git')
  assert.equal(await why(link('x'.repeat(4097).slice(0, 4090))), 'taken')
  assert.equal(await why(link('../readme.md')), 'taken')
  assert.equal(
    await why((dir) => scratch.commit(dir, { 'a\nb': 'x' })),
    'policy: a\nb: the name has control characters',
  )
})

test('what is not a regular file of fair size is not opened', async () => {
  await using scratch = await makeScratch({ limits: { bundleBytes: 2000 } })
  const { base } = await refreshed(scratch)
  const { root } = scratch
  const bundle = await scratch.attempt(base, (dir) => scratch.commit(dir, { 'x.txt': 'x\n' }))
  await symlink(bundle, join(root, 'link'))
  await mkdir(join(root, 'folder'))
  await writeFile(join(root, 'big'), Buffer.alloc(2001))
  await writeFile(join(root, 'noise'), 'not a bundle\n\nPACK')
  assert.equal(await refusedAs(scratch, join(root, 'nothing'), base), 'no-bundle')
  assert.equal(await refusedAs(scratch, join(root, 'link'), base), 'no-bundle')
  assert.equal(await refusedAs(scratch, join(root, 'folder'), base), 'no-bundle')
  assert.equal(await refusedAs(scratch, '/dev/zero', base), 'no-bundle')
  assert.equal(await refusedAs(scratch, join(root, 'big'), base), 'too-large')
  assert.equal(await refusedAs(scratch, join(root, 'noise'), base), 'unclean')
  assert.equal(typeof (await refusedAs(scratch, bundle, base)), 'object')
})

test('a fifo in the bundle’s place does not hold us', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const path = join(scratch.root, 'fifo')
  await scratch.type(scratch.root, ['-c', `alias.pipe=!mkfifo '${path}'`, 'pipe'])
  assert.equal(await refusedAs(scratch, path, base), 'no-bundle')
})

test('history that does not belong here is refused', async () => {
  await using scratch = await makeScratch()
  const { stores, type } = scratch
  const { base } = await refreshed(scratch)
  const other = join(scratch.root, 'other')
  await mkdir(other)
  await type(other, ['init', '-q', '-b', 'main'])
  await scratch.commit(other, { 'a.txt': 'a\n' })
  const first = await type(other, ['rev-parse', 'HEAD'])
  await scratch.commit(other, { 'a.txt': 'b\n' })
  const bundle = async (...args: string[]) => {
    const path = scratch.place('bundle')
    await type(other, ['bundle', 'create', '-q', path, ...args])
    return path
  }
  await type(other, ['branch', 'second'])
  await type(other, ['tag', '-a', '-m', 'x', 'label'])
  assert.equal(await refusedAs(scratch, await bundle('main'), base), 'unclean', 'unrelated')
  assert.equal(await refusedAs(scratch, await bundle('main', `^${first}`), base), 'unclean', 'unknown prerequisite')
  assert.equal(await refusedAs(scratch, await bundle('main', 'second'), base), 'unclean', 'two refs')
  assert.equal(await refusedAs(scratch, await bundle('refs/tags/label'), base), 'unclean', 'a tag object')
  const newer = await scratch.commit(stores.source, { 'n.txt': 'n\n' })
  const sideways = await scratch.attempt(base, (dir) => scratch.commit(dir, { 's.txt': 's\n' }))
  await refreshed(scratch)
  assert.equal(await refusedAs(scratch, sideways, newer), 'unclean', 'built on another commit than the task')
  assert.equal(typeof (await refusedAs(scratch, sideways, base)), 'object')
})

test('a pack that lacks or garbles objects is refused', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const good = await readFile(
    await scratch.attempt(base, (dir) => scratch.commit(dir, { 'x.txt': 'hello\n'.repeat(99) })),
  )
  const verdict = async (bytes: Buffer) => {
    const path = scratch.place('bundle')
    await writeFile(path, bytes)
    return await refusedAs(scratch, path, base)
  }
  const garbled = Buffer.from(good)
  garbled[good.length - 30]! ^= 0xff
  assert.equal(await verdict(garbled), 'unclean')
  assert.equal(await verdict(good.subarray(0, -25)), 'unclean')
  assert.equal(
    await verdict(Buffer.from(good.toString('latin1').replace(' refs/heads/task', ' '), 'latin1')),
    'unclean',
  )
  const twice = good.toString('latin1').replace(/\n([0-9a-f]{40}) refs\/heads\/task\n/, '$&$1 refs/heads/other\n')
  assert.equal(await verdict(Buffer.from(twice, 'latin1')), 'unclean', 'two refs')
  const hollow = await scratch.attempt(base, async (dir) => {
    const tree = await writeRawTree(scratch, dir, [{ mode: '100644', name: 'x', id: '1'.repeat(40) }])
    const commit = await scratch.type(dir, ['commit-tree', tree, '-p', base, '-m', 'x'])
    await scratch.type(dir, ['update-ref', 'refs/heads/task', commit])
    const pack = await scratch.type(dir, ['rev-parse', 'HEAD', 'HEAD^{tree}'])
    await scratch.type(dir, ['pack-objects', '-q', join(dir, 'hollow')], pack)
    await scratch.type(dir, ['update-ref', 'refs/heads/task', base])
    const [name] = (await readdir(dir)).filter((file) => file.endsWith('.pack'))
    const header = Buffer.from(`# v2 git bundle\n-${base} \n${commit} refs/heads/task\n\n`)
    await writeFile(join(scratch.root, 'hollow'), Buffer.concat([header, await readFile(join(dir, name!))]))
    await scratch.commit(dir, { y: 'y' }) // so that the bundle of this attempt itself can be made
  })
  assert.equal(await refusedAs(scratch, join(scratch.root, 'hollow'), base), 'unclean')
  assert.equal(typeof (await refusedAs(scratch, hollow, base)), 'object')
  assert.equal(typeof (await verdict(good)), 'object')
})

test('work that changes no file is no change, however many commits it has', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const bundle = await scratch.attempt(base, async (dir) => {
    await scratch.commit(dir, { 'x.txt': 'x\n' })
    await rm(join(dir, 'x.txt'))
    await scratch.commit(dir, {})
  })
  assert.equal(await refusedAs(scratch, bundle, base), 'no-change')
})

test('too many files and too much content are refused', async () => {
  await using scratch = await makeScratch({ limits: { changes: 3, contentBytes: 100_000 } })
  const { base } = await refreshed(scratch)
  const fill = (files: Record<string, string>) => scratch.attempt(base, (dir) => scratch.commit(dir, files))
  assert.equal(await refusedAs(scratch, await fill({ a: '1', b: '2', c: '3', d: '4' }), base), 'policy')
  assert.equal(await refusedAs(scratch, await fill({ a: '0'.repeat(100_001) }), base), 'policy')
  assert.equal(typeof (await refusedAs(scratch, await fill({ a: '0'.repeat(99_999), b: '2' }), base)), 'object')
})

test('an oddity the base already has is left alone', async () => {
  await using scratch = await makeScratch()
  const { stores } = scratch
  await symlink('/etc/passwd', join(stores.source, 'outside'))
  await scratch.commit(stores.source, { 'new\nline.txt': 'x\n' })
  const { base } = await refreshed(scratch)
  const bundle = await scratch.attempt(base, (dir) => scratch.commit(dir, { 'new\nline.txt': 'y\n' }))
  const answer = await scratch.git.intake(stores, bundle, base, 'attempt_x')
  assert.deepEqual(!isRefusal(answer) && answer.changes, [
    { path: 'new\nline.txt', status: 'modified', mode: '100644' },
  ])
})
