import assert from 'node:assert/strict'
import { chmod, chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { realWorld } from '../host/world.ts'
import { makeScratch, refreshed, searchPath, type Scratch } from './fixture.ts'
import { createGit } from './subprocess.ts'

const target = 'tri-agent/landing'

const objectsOf = async (scratch: Scratch, gitDir: string) =>
  (await scratch.type(gitDir, ['cat-file', '--batch-all-objects', '--batch-check=%(objectname)'])).split('\n')

test('the mirror follows base and target, also when they are moved by force', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  const first = await scratch.type(stores.source, ['rev-parse', 'main'])
  assert.deepEqual(await git.refresh(stores, 'main', target), { base: first, target: null })
  const second = await scratch.commit(stores.source, { 'more.txt': 'more\n' })
  await scratch.type(stores.source, ['branch', target, first])
  assert.deepEqual(await git.refresh(stores, 'main', target), { base: second, target: first })
  assert.equal(await git.readFile(stores, second, 'more.txt'), 'more\n')
  await scratch.type(stores.source, ['commit', '-q', '--amend', '-m', 'Rewritten'])
  const third = await scratch.type(stores.source, ['rev-parse', 'main'])
  await scratch.type(stores.source, ['branch', '-D', target])
  assert.deepEqual(await git.refresh(stores, 'main', target), { base: third, target: null })
  assert.equal(await git.readFile(stores, second, 'more.txt'), 'more\n', 'a task may still stand on the old base')
  assert.deepEqual(await git.refresh(stores, 'main', target), { base: third, target: null })
})

test('branches that stand still are asked for and nothing else; a store or a repository that was put in the place of the old one is seen', async () => {
  await using scratch = await makeScratch()
  const { stores } = scratch
  const world = realWorld()
  const asked: string[] = []
  const spawn: typeof world.spawn = (spec) => {
    asked.push(spec.args.find((each) => /^[a-z-]+$/.test(each) && each !== '-c') ?? '')
    return world.spawn(spec)
  }
  const git = createGit({ ...world, spawn }, { path: searchPath })
  const first = await scratch.type(stores.source, ['rev-parse', 'main'])
  const refresh = async () => {
    asked.length = 0
    return git.refresh(stores, 'main', target)
  }
  await refresh()
  assert.deepEqual(await refresh(), { base: first, target: null })
  assert.deepEqual(asked.toSorted(), ['for-each-ref', 'rev-parse'])
  const base = await scratch.commit(stores.source, { 'moved.txt': 'moved\n' })
  assert.deepEqual(await refresh(), { base, target: null })
  assert.equal(await git.readFile(stores, base, 'moved.txt'), 'moved\n')
  await rm(stores.mirror, { recursive: true })
  assert.deepEqual(await refresh(), { base, target: null })
  assert.equal(
    await git.readFile(stores, base, 'readme.md'),
    await scratch.type(stores.source, ['show', `${base}:readme.md`]).then((text) => `${text}\n`),
  )
  await rename(stores.source, `${stores.source}-old`)
  await mkdir(stores.source)
  await scratch.type(stores.source, ['init', '-q', '--bare', '-b', 'main', '.'])
  const empty = await refresh()
  assert.equal(isRefusal(empty) && empty.refused, 'no-base')
  await rm(stores.source, { recursive: true })
  await mkdir(stores.source)
  await writeFile(join(stores.source, '.git'), `gitdir: ${stores.source}-old/.git\n`)
  const second = await scratch.commit(`${stores.source}-old`, { 'more.txt': 'more\n' })
  assert.deepEqual(await refresh(), { base: second, target: null })
  await using another = await makeScratch()
  const third = await another.commit(another.stores.source, { 'other.txt': 'other\n' })
  await writeFile(join(stores.source, '.git'), `gitdir: ${another.stores.source}/.git\n`)
  assert.deepEqual(await refresh(), { base: third, target: null })
})

test('many may make the stores at once, and bring the same tips', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  for (let times = 0; times < 3; times += 1) {
    const base = await scratch.commit(stores.source, { 'count.txt': `${times}\n` })
    const tips = await Promise.all(Array.from({ length: 8 }, () => git.refresh(stores, 'main', 'tri-agent/landing')))
    assert.deepEqual(
      tips,
      Array.from({ length: 8 }, () => ({ base, target: null })),
    )
    if (times < 1) for (const store of [stores.mirror, stores.quarantine]) await rm(store, { recursive: true })
  }
  assert.deepEqual((await readdir(dirname(stores.mirror))).toSorted(), ['mirror.git', 'quarantine.git'])
})

test('what is on other branches, in stashes, in the index or dangling never reaches the mirror', async () => {
  await using scratch = await makeScratch()
  const { stores, type } = scratch
  const secrets = [await type(stores.source, ['hash-object', '-w', '--stdin'], 'dangling secret')]
  await type(stores.source, ['checkout', '-q', '-b', 'private'])
  await scratch.commit(stores.source, { '.env': 'secret on a branch' })
  secrets.push(await type(stores.source, ['rev-parse', 'private:.env']))
  await type(stores.source, ['tag', 'kept', 'private'])
  await type(stores.source, ['checkout', '-q', 'main'])
  await writeFile(join(stores.source, 'readme.md'), 'stashed secret')
  await type(stores.source, ['stash'])
  secrets.push(await type(stores.source, ['rev-parse', 'stash:readme.md']))
  await writeFile(join(stores.source, 'readme.md'), 'staged secret')
  await type(stores.source, ['add', '-A'])
  secrets.push(await type(stores.source, ['rev-parse', ':readme.md']))
  await type(stores.source, ['repack', '-q', '-a', '-d'])
  await refreshed(scratch)
  const there = [...(await objectsOf(scratch, stores.mirror)), ...(await objectsOf(scratch, stores.quarantine))]
  assert.deepEqual(
    secrets.filter((id) => there.includes(id)),
    [],
  )
  const known = await objectsOf(scratch, stores.source)
  assert.deepEqual(
    secrets.filter((id) => known.includes(id)),
    secrets,
    'the control: the source has them all',
  )
  assert.ok(there.includes(await type(stores.source, ['rev-parse', 'main:readme.md'])))
})

test('a folder that cannot be worked with is refused with the command to type', async () => {
  await using scratch = await makeScratch()
  const { git, stores, root } = scratch
  const refusalOf = async (source: string, base = 'main') => {
    const answer = await git.refresh({ ...stores, source }, base, target)
    assert.ok(isRefusal(answer))
    return [answer.refused, answer.hint]
  }
  await mkdir(join(root, 'plain'))
  await mkdir(join(root, 'empty'))
  await scratch.type(join(root, 'empty'), ['init', '-q', '-b', 'main'])
  await scratch.commit(stores.source, {})
  await scratch.type(root, ['clone', '-q', '--depth=1', `file://${stores.source}`, 'shallow'])
  assert.deepEqual(await refusalOf(join(root, 'plain')), ['not-a-repository', 'git init, or name another folder'])
  assert.deepEqual(await refusalOf(join(root, 'nowhere')), ['not-a-repository', 'git init, or name another folder'])
  assert.deepEqual(await refusalOf(join(root, 'empty')), ['no-base', 'git commit --allow-empty -m "Start"'])
  assert.deepEqual(await refusalOf(join(root, 'shallow')), ['shallow', 'git fetch --unshallow'])
  assert.deepEqual(await refusalOf(stores.source, 'master'), ['no-base', 'set base to one of: main'])
  assert.deepEqual(await refusalOf(stores.source, 'main~0'), ['no-base', 'set base to one of: main'])
})

test('a bare repository, a linked worktree, a detached HEAD and a tag named like the base all work', async () => {
  await using scratch = await makeScratch()
  const { git, stores, root, type } = scratch
  const base = await type(stores.source, ['rev-parse', 'main'])
  await type(root, ['clone', '-q', '--bare', stores.source, 'bare.git'])
  await type(stores.source, ['worktree', 'add', '-q', '-b', 'side', join(root, 'linked\nworktree')])
  await type(stores.source, ['checkout', '-q', '--detach'])
  await scratch.commit(stores.source, { 'other.txt': 'x' })
  await type(stores.source, ['tag', 'main'])
  for (const source of [join(root, 'bare.git'), join(root, 'linked\nworktree'), stores.source]) {
    assert.deepEqual(await git.refresh({ ...stores, source }, 'main', target), { base, target: null })
  }
})

test('a partial clone with the whole base is taken, one without is refused', async () => {
  await using scratch = await makeScratch()
  const { git, stores, root, type } = scratch
  const base = await scratch.commit(stores.source, { 'readme.md': 'new words\n' })
  await type(stores.source, ['config', 'uploadpack.allowFilter', 'true'])
  await type(root, ['clone', '-q', '--filter=blob:none', `file://${stores.source}`, 'partial'])
  await type(root, ['clone', '-q', '--filter=blob:none', '--no-checkout', `file://${stores.source}`, 'hollow'])
  assert.deepEqual(await git.refresh({ ...stores, source: join(root, 'partial') }, 'main', target), {
    base,
    target: null,
  })
  const hollow = { source: join(root, 'hollow'), mirror: join(root, 'h.git'), quarantine: join(root, 'hq.git') }
  const answer = await git.refresh(hollow, 'main', target)
  assert.equal(isRefusal(answer) && answer.refused, 'partial')
  await type(hollow.source, ['fetch', '-q', '--refetch', '--no-filter'])
  assert.deepEqual(await git.refresh(hollow, 'main', target), { base, target: null })
})

test('a repository that belongs to another account is read all the same', { skip: notRoot() }, async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  for (const path of [stores.source, join(stores.source, '.git')]) await chown(path, 12_345, 12_345)
  await chmod(stores.source, 0o755)
  await assert.rejects(scratch.type(stores.source, ['status']), /dubious ownership/)
  const { base } = await refreshed(scratch)
  const landing = await git.commitTree(stores, {
    tree: await git.treeOf(stores, base),
    parent: base,
    message: 'x',
    at: 0,
  })
  assert.deepEqual(await git.land(stores, target, null, landing), { landed: true })
})

function notRoot(): string | false {
  return process.getuid?.() === 0 ? false : 'only root can give a folder away'
}

test('many small packs are rolled together without losing an object', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  await refreshed(scratch)
  const ids = []
  for (let count = 0; count < 41; count += 1) {
    const id = await scratch.type(stores.mirror, ['hash-object', '-w', '--stdin'], `${count}`)
    await scratch.type(stores.mirror, ['pack-objects', '-q', 'objects/pack/pack'], id)
    ids.push(id)
  }
  await scratch.type(stores.mirror, ['prune-packed'])
  const { base } = await refreshed(scratch)
  const packs = (await scratch.type(stores.mirror, ['count-objects', '-v'])).match(/packs: (\d+)/)?.[1]
  assert.ok(Number(packs) < 40, `${packs} packs`)
  for (const id of ids) await scratch.type(stores.mirror, ['cat-file', '-e', id])
  assert.equal(await git.readFile(stores, base, 'readme.md'), 'one\ntwo\nthree\n')
  assert.equal(await readFile(join(stores.mirror, 'HEAD'), 'utf8'), 'ref: refs/heads/none\n')
})
