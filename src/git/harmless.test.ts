/**
 * Git's own doors to other programs: hooks, filters, drivers, monitors. Each is set up to write a canary; none may fire when we use the
 * repository, and the control shows that they do when git is used plainly.
 */
import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { makeScratch, refreshed, type Scratch } from './fixture.ts'

const hooks = [
  'reference-transaction',
  'post-checkout',
  'post-index-change',
  'pre-commit',
  'post-commit',
  'post-merge',
  'update',
  'pre-auto-gc',
]

/** Every door leads to a script that writes down which one it was. */
async function armRepository(scratch: Scratch, gitDir: string): Promise<void> {
  const door = async (name: string, body = '') => {
    const path = join(scratch.root, 'doors', name)
    await writeFile(path, `#!/bin/sh\necho ${name} >> '${join(scratch.root, 'canary')}'\n${body}`)
    await chmod(path, 0o755)
    return path
  }
  await mkdir(join(scratch.root, 'doors'), { recursive: true })
  for (const hook of hooks) await door(hook)
  const settings = {
    'core.hooksPath': join(scratch.root, 'doors'),
    'core.fsmonitor': await door('fsmonitor'),
    'core.pager': await door('pager'),
    'core.sshCommand': await door('ssh'),
    'core.askPass': await door('askpass'),
    'core.alternateRefsCommand': await door('alternates'),
    'uploadpack.packObjectsHook': await door('packhook', 'exec "$@"\n'),
    'filter.evil.clean': await door('clean', 'cat\n'),
    'filter.evil.smudge': await door('smudge', 'cat\n'),
    'diff.external': await door('external'),
    'diff.evil.textconv': await door('textconv', 'cat "$1"\n'),
    'merge.evil.driver': await door('driver', 'exit 1\n'),
    'gpg.program': await door('gpg', 'exit 1\n'),
    'credential.helper': await door('credential'),
    'alias.rev-parse': `!${await door('alias')}`,
    'commit.gpgSign': 'true',
    'log.showSignature': 'true',
  }
  for (const [key, value] of Object.entries(settings)) await scratch.type(gitDir, ['config', key, value])
}

const fired = async (scratch: Scratch) => {
  const path = join(scratch.root, 'canary')
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  await rm(path, { force: true })
  return [...new Set(lines)].toSorted()
}

const attributes = { '.gitattributes': '* filter=evil diff=evil merge=evil\n' }

test('nothing that the user’s repository is configured to start is started by us; plain git starts it', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  await scratch.commit(stores.source, attributes)
  await type(stores.source, ['checkout', '-q', '--detach'])
  await armRepository(scratch, stores.source)
  await fired(scratch)
  const { base } = await refreshed(scratch)
  const left = await git.intake(
    stores,
    await scratch.attempt(base, (dir) => scratch.commit(dir, { 'readme.md': 'left\n' })),
    base,
    'l',
  )
  const right = await git.intake(
    stores,
    await scratch.attempt(base, (dir) => scratch.commit(dir, { 'readme.md': 'right\n' })),
    base,
    'r',
  )
  assert.ok(!isRefusal(left) && !isRefusal(right))
  await git.mergeTree(stores, left.commit, right.commit)
  await git.diff(stores, base, left.commit)
  await git.checkout(stores, left.tree, scratch.place('files'))
  const commit = await git.commitTree(stores, { tree: left.tree, parent: base, message: 'x', at: 0 })
  assert.deepEqual(await git.land(stores, 'main', base, commit), { landed: true })
  await git.history(stores, 'main', null)
  await git.fetchRef(stores, 'main', base)
  assert.deepEqual(await fired(scratch), [])
  await type(stores.source, ['-c', 'commit.gpgSign=false', 'checkout', '-q', 'main'])
  await type(stores.source, ['branch', 'new'])
  await type(stores.source, ['diff', '--no-ext-diff', 'HEAD~1'])
  await type(stores.source, ['diff', '--ext-diff', 'HEAD~1'])
  await scratch.commit(stores.source, { 'readme.md': 'more\n' }).catch(() => 'gpg refuses')
  const control = await fired(scratch)
  for (const name of [
    'clean',
    'external',
    'fsmonitor',
    'gpg',
    'post-checkout',
    'reference-transaction',
    'smudge',
    'textconv',
  ]) {
    assert.ok(control.includes(name), `the control did not fire ${name}: ${control.join()}`)
  }
})

test('nothing that an agent configured in its clone is started when its bundle is taken in', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const { base } = await refreshed(scratch)
  const bundle = await scratch.attempt(base, async (dir) => {
    await scratch.commit(dir, { ...attributes, 'readme.md': 'work\n' })
    await armRepository(scratch, dir)
    await type(dir, ['checkout', '-q', '-B', 'again']).catch(() => 'a hook may fail')
    assert.ok((await fired(scratch)).length > 0, 'the control: they fire in the clone')
  })
  await fired(scratch)
  const candidate = await git.intake(stores, bundle, base, 'attempt_1')
  assert.ok(!isRefusal(candidate))
  await git.checkout(stores, candidate.tree, scratch.place('files'))
  await git.diff(stores, base, candidate.commit)
  const next = scratch.place('next')
  await git.clone(stores, candidate.commit, next, null)
  assert.deepEqual(await fired(scratch), [])
})

test('replace refs and grafts in the user’s repository do not change what we read or land', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const base = await type(stores.source, ['rev-parse', 'main'])
  const tree = await type(stores.source, ['rev-parse', 'main^{tree}'])
  const blob = await type(stores.source, ['hash-object', '-w', '--stdin'], 'forged\n')
  const forged = await type(stores.source, ['mktree'], `100644 blob ${blob}\treadme.md\n`)
  const last = await scratch.commit(stores.source, {}, 'True')
  const lie = await type(stores.source, ['commit-tree', forged, '-p', base, '-m', 'False'])
  await type(stores.source, ['replace', tree, forged])
  await type(stores.source, ['replace', last, lie])
  await mkdir(join(stores.source, '.git', 'info'), { recursive: true })
  await writeFile(join(stores.source, '.git', 'info', 'grafts'), `${last}\n`)
  assert.equal(await type(stores.source, ['show', `${base}:readme.md`]), 'forged', 'the control: plain git is deceived')
  assert.equal(await type(stores.source, ['log', '--format=%s', 'main']), 'False', 'the control: and loses history')
  await refreshed(scratch)
  assert.equal(await git.readFile(stores, base, 'readme.md'), 'one\ntwo\nthree\n')
  assert.deepEqual(await git.listFiles(stores, base), ['readme.md', 'src/app.ts'])
  assert.equal(await git.isAncestor(stores, base, last), true)
  assert.deepEqual(await git.history(stores, 'main', null), [
    { commit: last, tree, parents: [base], message: 'True\n' },
    { commit: base, tree, parents: [], message: 'Start\n' },
  ])
})
