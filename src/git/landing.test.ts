import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { isFault } from '../host/fault.ts'
import { makeScratch, refreshed, type Scratch } from './fixture.ts'
import type { Candidate, Sha } from './git.ts'

const target = 'tri-agent/landing'

async function takeIn(
  scratch: Scratch,
  base: Sha,
  files: Record<string, string>,
  name = 'attempt_1',
): Promise<Candidate> {
  const bundle = await scratch.attempt(base, (dir) => scratch.commit(dir, files))
  const candidate = await scratch.git.intake(scratch.stores, bundle, base, name)
  if (isRefusal(candidate)) throw new Error(candidate.why)
  return candidate
}

test('a landing commit is the same id for the same input, and carries exactly the tree it was given', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const { base } = await refreshed(scratch)
  const { tree } = await takeIn(scratch, base, { 'a.txt': 'a\n' })
  const message = 'Add a\n\nTask: task_1\nTested-Tree: x — ünï\n'
  const input = { tree, parent: base, message, at: 1_790_000_000_999 }
  const commit = await git.commitTree(stores, input)
  assert.equal(await git.commitTree(stores, input), commit)
  assert.notEqual(await git.commitTree(stores, { ...input, at: input.at + 1 }), commit)
  assert.equal(await git.treeOf(stores, commit), tree)
  assert.deepEqual(await git.land(stores, target, null, commit), { landed: true })
  assert.equal(
    await type(stores.source, ['log', '-1', '--format=%an <%ae> %at|%cn <%ce> %ct|%T|%P', target]),
    `tri-agent <tri-agent@localhost> 1790000000|tri-agent <tri-agent@localhost> 1790000000|${tree}|${base}`,
  )
  assert.deepEqual(await git.history(stores, target, base), [{ commit, tree, parents: [base], message }])
  assert.deepEqual(
    (await git.history(stores, target, null)).map((landed) => landed.commit),
    [commit, base],
  )
  assert.deepEqual(await git.history(stores, 'nowhere', null), [])
  await type(stores.source, ['fsck', '--strict', '--no-dangling'])
})

test('history is all that a branch holds, merges with both sides, newest first', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const base = await type(stores.source, ['rev-parse', 'main'])
  await type(stores.source, ['checkout', '-q', '-b', 'side'])
  const side = await scratch.commit(stores.source, { 's.txt': 's' }, 'Side\n\nwith\nlines')
  await type(stores.source, ['checkout', '-q', 'main'])
  const main = await scratch.commit(stores.source, { 'm.txt': 'm' }, 'Main')
  await type(stores.source, ['merge', '-q', '--no-ff', '-m', 'Merge', 'side'])
  const history = await git.history(stores, 'main', base)
  assert.deepEqual(
    history
      .map(({ message, parents }) => ({ message, parents }))
      .toSorted((a, b) => b.parents.length - a.parents.length || (a.message < b.message ? -1 : 1)),
    [
      { message: 'Merge\n', parents: [main, side] },
      { message: 'Main\n', parents: [base] },
      { message: 'Side\n\nwith\nlines\n', parents: [base] },
    ],
  )
})

test('a target that moved, appeared or vanished is refused and stays where it is', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const { base } = await refreshed(scratch)
  const { tree } = await takeIn(scratch, base, { 'a.txt': 'a\n' })
  const commit = await git.commitTree(stores, { tree, parent: base, message: 'x', at: 0 })
  const refusal = async (expected: Sha | null) => {
    const answer = await git.land(stores, target, expected, commit)
    return isRefusal(answer) ? answer.refused : 'landed'
  }
  assert.equal(await refusal(base), 'moved', 'it is not there')
  await type(stores.source, ['branch', target, 'main'])
  assert.equal(await refusal(null), 'moved', 'it appeared')
  const other = await scratch.commit(stores.source, { 'other.txt': 'x\n' })
  await type(stores.source, ['branch', '-f', target, 'main'])
  assert.equal(await refusal(base), 'moved', 'somebody moved it')
  assert.equal(await type(stores.source, ['rev-parse', target]), other)
  await refreshed(scratch)
  await assert.rejects(git.land(stores, target, other, commit), /does not continue/)
  await type(stores.source, ['branch', '-f', target, base])
  assert.equal(await refusal(base), 'landed')
})

test('a target that only stands for another branch is refused: what is checked out is not moved by another name', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const { base } = await refreshed(scratch)
  const { tree } = await takeIn(scratch, base, { 'a.txt': 'a\n' })
  const commit = await git.commitTree(stores, { tree, parent: base, message: 'x', at: 0 })
  for (const [stood, expected] of [
    ['refs/heads/main', base],
    ['refs/heads/nowhere', null],
  ] as const) {
    await type(stores.source, ['symbolic-ref', `refs/heads/${target}`, stood])
    const answer = await git.land(stores, target, expected, commit)
    assert.deepEqual(
      isRefusal(answer) ? answer.why : answer,
      `${target} is no branch of its own but stands for ${stood}`,
    )
  }
  assert.equal(await type(stores.source, ['for-each-ref', '--format=%(objectname)', 'refs/heads/main']), base)
  assert.equal(await type(stores.source, ['for-each-ref', 'refs/heads/nowhere']), '')
})

test('a branch that is checked out anywhere is not moved under the user’s feet', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type, root } = scratch
  const { base } = await refreshed(scratch)
  const { tree } = await takeIn(scratch, base, { 'readme.md': 'other words\n' })
  const commit = await git.commitTree(stores, { tree, parent: base, message: 'x', at: 0 })
  const refusal = async (branch: string, expected: Sha | null = base) => {
    const answer = await git.land(stores, branch, expected, commit)
    return isRefusal(answer) ? answer.refused : 'landed'
  }
  assert.equal(await refusal('main'), 'checked-out')
  await type(stores.source, ['worktree', 'add', '-q', '-b', 'linked', join(root, 'linked')])
  assert.equal(await refusal('linked'), 'checked-out')
  await type(stores.source, ['checkout', '-q', '--orphan', 'unborn'])
  assert.equal(await refusal('unborn', null), 'checked-out')
  await type(stores.source, ['checkout', '-q', '-f', 'main'])
  await type(stores.source, ['checkout', '-q', '-b', 'rebased'])
  await scratch.commit(stores.source, { 'readme.md': 'mine\n' })
  await type(stores.source, ['checkout', '-q', '-b', 'onto', base])
  await scratch.commit(stores.source, { 'readme.md': 'theirs\n' })
  await type(stores.source, ['checkout', '-q', 'rebased'])
  await assert.rejects(type(stores.source, ['rebase', '-q', 'onto']))
  const rebased = await type(stores.source, ['rev-parse', 'rebased'])
  assert.equal(await refusal('rebased', rebased), 'checked-out')
  await type(stores.source, ['rebase', '--abort'])
  await type(stores.source, ['checkout', '-q', '--detach'])
  assert.equal(await refusal('main'), 'landed')
})

test('a bare repository takes a landing on the branch its HEAD names', async () => {
  await using scratch = await makeScratch()
  const { stores, git, type, root } = scratch
  await type(root, ['clone', '-q', '--bare', stores.source, 'bare.git'])
  stores.source = join(root, 'bare.git')
  const { base } = await refreshed(scratch, 'main')
  const { tree } = await takeIn(scratch, base, { 'a.txt': 'a\n' })
  const commit = await git.commitTree(stores, { tree, parent: base, message: 'x', at: 0 })
  assert.deepEqual(await git.land(stores, 'main', base, commit), { landed: true })
  assert.equal(await type(stores.source, ['show', 'main:a.txt']), 'a')
})

test('a landing of many files arrives as one pack, a small one as loose objects', async () => {
  await using scratch = await makeScratch()
  const { stores, git } = scratch
  const { base } = await refreshed(scratch)
  const packs = async () =>
    (await readdir(join(stores.source, '.git', 'objects', 'pack'))).filter((name) => name.endsWith('.pack'))
  const land = async (parent: Sha, expected: Sha | null, files: Record<string, string>) => {
    const { tree } = await takeIn(scratch, parent, files)
    const commit = await git.commitTree(stores, { tree, parent, message: 'x', at: 0 })
    assert.deepEqual(await git.land(stores, target, expected, commit), { landed: true })
    return commit
  }
  const first = await land(base, null, { 'a.txt': 'a\n' })
  assert.equal((await packs()).length, 0)
  const many = Object.fromEntries(Array.from({ length: 120 }, (_, index) => [`many/${index}.txt`, `${index}\n`]))
  await land(first, first, many)
  assert.equal((await packs()).length, 1)
  await scratch.type(stores.source, ['fsck', '--strict', '--no-dangling'])
})

test('a merge needs no checkout; a conflict names its files', async () => {
  await using scratch = await makeScratch()
  const { stores, git } = scratch
  const { base } = await refreshed(scratch)
  const left = await takeIn(
    scratch,
    base,
    { 'readme.md': 'left\ntwo\nthree\n', 'l.txt': 'l\n', ' odd': 'left\n' },
    'left',
  )
  const right = await takeIn(scratch, base, { 'src/app.ts': 'export const answer = 42\n', 'r.txt': 'r\n' }, 'right')
  const clash = await takeIn(scratch, base, { 'readme.md': 'clash\ntwo\nthree\n', ' odd': 'clash\n' }, 'clash')
  const merged = await git.mergeTree(stores, left.commit, right.commit)
  assert.ok('tree' in merged)
  assert.deepEqual((await git.listFiles(stores, merged.tree)).toSorted(), [
    ' odd',
    'l.txt',
    'r.txt',
    'readme.md',
    'src/app.ts',
  ])
  assert.deepEqual(await git.mergeTree(stores, left.commit, clash.commit), {
    refused: 'conflict',
    why: ' odd, readme.md',
  })
  const stray = await scratch.type(stores.source, ['commit-tree', base + '^{tree}', '-m', 'Unrelated'])
  await scratch.type(stores.source, ['update-ref', 'refs/heads/main', stray])
  await refreshed(scratch)
  const unrelated = { refused: 'conflict', why: 'the two have no history in common' }
  assert.deepEqual(await git.mergeTree(stores, stray, left.commit), unrelated)
})

test('three racing landers lose no work', { timeout: 60_000 }, async () => {
  await using scratch = await makeScratch()
  const { stores, git, type } = scratch
  const words = (edit: number) =>
    Array.from({ length: 60 }, (_, line) => (line === edit ? `edit ${edit}\n` : `line ${line}\n`)).join('')
  await type(stores.source, ['rm', '-q', '-r', '.'])
  const start = await scratch.commit(stores.source, { 'book.txt': words(-1) })
  await refreshed(scratch)
  const queue: Sha[] = []
  for (let edit = 1; edit < 60; edit += 8) {
    const book = await type(stores.quarantine, ['hash-object', '-w', '--stdin'], words(edit))
    const tree = await type(stores.quarantine, ['mktree'], `100644 blob ${book}\tbook.txt\n`)
    queue.push(await git.commitTree(stores, { tree, parent: start, message: `edit ${edit}`, at: 0 }))
  }
  const count = queue.length
  const tested = new Set<Sha>()
  let moved = 0
  const landOne = async (candidate: Sha): Promise<void> => {
    for (;;) {
      const tips = await refreshed(scratch)
      const parent = tips.target ?? tips.base
      const merged = await git.mergeTree(stores, parent, candidate)
      if (isRefusal(merged)) throw new Error(merged.why)
      const commit = await git.commitTree(stores, { tree: merged.tree, parent, message: candidate, at: 0 })
      const answer = await git.land(stores, target, tips.target, commit)
      if (!isRefusal(answer)) return void tested.add(merged.tree)
      assert.equal(answer.refused, 'moved')
      moved += 1
    }
  }
  const lander = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await landOne(next)
  }
  await Promise.all([lander(), lander(), lander()])
  const history = await git.history(stores, target, start)
  assert.equal(history.length, count)
  assert.ok(moved > 0, 'the landers did race')
  assert.deepEqual(new Set(history.map((landed) => landed.tree)), tested)
  const book = await type(stores.source, ['show', `${target}:book.txt`])
  assert.equal(book.match(/edit/g)?.length, count)
})

test('a branch whose name is in the way is a fault with a hint', async () => {
  await using scratch = await makeScratch()
  const { stores, git, type } = scratch
  const { base } = await refreshed(scratch)
  await type(stores.source, ['branch', 'tri-agent'])
  const { tree } = await takeIn(scratch, base, { 'a.txt': 'a\n' })
  const commit = await git.commitTree(stores, { tree, parent: base, message: 'x', at: 0 })
  await assert.rejects(
    git.land(stores, target, null, commit),
    (error) => isFault(error, 'git-failed') && /in the way/.test(error.hint ?? ''),
  )
})

test('a ref that a person names is brought in and compared with where it left the base', async () => {
  await using scratch = await makeScratch()
  const { stores, git, type } = scratch
  const base = await type(stores.source, ['rev-parse', 'main'])
  await type(stores.source, ['checkout', '-q', '-b', 'feature'])
  const feature = await scratch.commit(stores.source, { 'f.txt': 'f\n' })
  await type(stores.source, ['checkout', '-q', 'main'])
  const newer = await scratch.commit(stores.source, { 'n.txt': 'n\n' })
  await refreshed(scratch)
  const changes = [{ path: 'f.txt', status: 'added', mode: '100644' }]
  const tree = await type(stores.source, ['rev-parse', 'feature^{tree}'])
  assert.deepEqual(await git.fetchRef(stores, 'feature', newer), {
    commit: feature,
    tree,
    base,
    changes,
    added: 1,
    removed: 0,
  })
  const refusal = async (ref: string) => {
    const answer = await git.fetchRef(stores, ref, newer)
    return isRefusal(answer) ? answer.refused : 'taken'
  }
  assert.equal(await refusal(feature.slice(0, 12)), 'taken')
  assert.equal(await refusal('nowhere'), 'no-such-ref')
  assert.equal(await refusal('--all'), 'no-such-ref')
  assert.equal(await refusal('main'), 'no-change')
})

test('an ancestor is told from a stranger', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  const first = (await refreshed(scratch)).base
  const second = await scratch.commit(stores.source, { 'n.txt': 'n\n' })
  await refreshed(scratch)
  assert.equal(await git.isAncestor(stores, first, second), true)
  assert.equal(await git.isAncestor(stores, second, second), true)
  assert.equal(await git.isAncestor(stores, second, first), false)
})
