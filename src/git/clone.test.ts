import assert from 'node:assert/strict'
import { lstat, mkdir, readdir, readFile, readlink, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isFault } from '../host/fault.ts'
import { makeScratch, refreshed, type Scratch } from './fixture.ts'

const hostile: Record<string, Uint8Array | string> = {
  'crlf.txt': 'one\r\ntwo\r\n',
  'lf.txt': 'one\ntwo\n',
  'mixed.bat': 'one\r\ntwo\n',
  'ident.txt': '$Id$ $Format:%H$\n',
  'wide.txt': Buffer.from('\ufeffwide words\n', 'utf16le'),
  'utf8-named-wide.wide': 'plain words\n',
  'bytes.bin': Uint8Array.from({ length: 256 }, (_, index) => index),
  'with space/and\nnewline\t.txt': 'x\n',
  empty: '',
  'no-newline': 'x',
  '.gitattributes':
    '* text=auto\n*.bat text eol=crlf\nlf.txt text eol=crlf\ncrlf.txt text\nident.txt ident export-subst\n*.wide working-tree-encoding=UTF-16\n*.bin filter=lfs diff=lfs -text\n',
}
hostile[`${'n'.repeat(251)}.txt`] = 'a name of 255 bytes\n'
const badName = Buffer.from('caf\xe9-\xff.txt', 'latin1')

/** A commit of blobs put there by object id, so that no conversion happened on the way in. */
async function commitHostile(scratch: Scratch): Promise<string> {
  const { stores, type } = scratch
  const records: Buffer[] = []
  const add = async (mode: string, path: string | Buffer, content: Uint8Array | string) => {
    const id = await type(
      stores.source,
      ['hash-object', '-w', '--no-filters', '--stdin'],
      Buffer.from(content as string),
    )
    records.push(Buffer.from(`${mode} blob ${id}\t`), Buffer.from(path), Buffer.from([0]))
  }
  for (const [path, content] of Object.entries(hostile)) await add('100644', path, content)
  await add('100644', badName, 'not UTF-8\n')
  await add('100755', 'tool.sh', '#!/bin/sh\n')
  await add('120000', 'link', 'with space/elsewhere')
  await type(stores.source, ['update-index', '-z', '--index-info'], Buffer.concat(records))
  await type(stores.source, ['commit', '-q', '-m', 'Hostile bytes'])
  return await type(stores.source, ['rev-parse', 'HEAD'])
}

async function checkBytes(dir: string): Promise<void> {
  for (const [path, content] of Object.entries(hostile)) {
    assert.deepEqual(await readFile(join(dir, path)), Buffer.from(content as string), path)
    assert.equal((await lstat(join(dir, path))).mode & 0o111, 0, path)
  }
  assert.equal(await readFile(Buffer.concat([Buffer.from(`${dir}/`), badName]), 'utf8'), 'not UTF-8\n')
  assert.equal((await lstat(join(dir, 'tool.sh'))).mode & 0o111, 0o111)
  assert.equal(await readlink(join(dir, 'link')), 'with space/elsewhere')
}

test('a checkout has every byte, bit and name of the tree, whatever the attributes say', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  const commit = await commitHostile(scratch)
  await refreshed(scratch)
  const dir = scratch.place('files')
  await git.checkout(stores, await git.treeOf(stores, commit), dir)
  await checkBytes(dir)
  assert.ok(!(await readdir(dir)).includes('.git'))
  const control = scratch.place('control')
  await scratch.type(scratch.root, ['clone', '-q', stores.source, control])
  assert.equal(await readFile(join(control, 'lf.txt'), 'utf8'), 'one\r\ntwo\r\n', 'the control: plain git converts')
  const listed = await git.listFiles(stores, commit)
  assert.ok(listed.includes('"caf\\351-\\377.txt"') && listed.includes('with space/and\nnewline\t.txt'), listed.join())
  assert.equal(await git.readFile(stores, commit, 'crlf.txt'), 'one\r\ntwo\r\n')
  assert.equal(await git.readFile(stores, commit, 'link'), null)
  assert.equal(await git.readFile(stores, commit, 'with space'), null)
  assert.equal(await git.readFile(stores, commit, 'nowhere'), null)
})

test('a clone has every byte too, and an agent that commits everything changes only what it touched', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  const commit = await commitHostile(scratch)
  await refreshed(scratch)
  const bundle = await scratch.attempt(commit, async (dir) => {
    await checkBytes(dir)
    for (const path of Object.keys(hostile)) await writeFile(join(dir, path), hostile[path]!)
    await scratch.commit(dir, { 'new.txt': 'new\n' })
  })
  const candidate = await git.intake(stores, bundle, commit, 'attempt_1')
  assert.ok('changes' in candidate)
  assert.deepEqual(candidate.changes, [{ path: 'new.txt', status: 'added', mode: '100644' }])
  const landing = await git.commitTree(stores, { tree: candidate.tree, parent: commit, message: 'Land', at: 0 })
  assert.deepEqual(await git.land(stores, 'landing', null, landing), { landed: true })
  const before = await type(stores.source, ['ls-tree', '-r', commit])
  const after = await type(stores.source, ['ls-tree', '-r', 'landing'])
  assert.deepEqual(
    after.split('\n').filter((line) => !line.endsWith('\tnew.txt')),
    before.split('\n'),
  )
})

test('a clone is private: branch task, no remote, no hooks, an identity, objects from where the sandbox mounts them', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type, root } = scratch
  const { base } = await refreshed(scratch)
  await type(stores.source, ['branch', 'private'])
  const dir = scratch.place('clone')
  await git.clone(stores, base, dir, join(root, 'inside'))
  const alternates = await readFile(join(dir, '.git', 'objects', 'info', 'alternates'), 'utf8')
  assert.equal(alternates, `${root}/inside/0\n${root}/inside/1\n`)
  await assert.rejects(type(dir, ['log']), /bad object|not a valid object|does not exist|unable to find/i)
  await mkdir(join(root, 'inside'))
  for (const [index, folder] of git.objectFolders(stores).entries())
    await symlink(folder, join(root, 'inside', `${index}`))
  assert.equal(await type(dir, ['status', '--porcelain', '--branch']), '## task')
  assert.equal(await type(dir, ['rev-parse', 'HEAD']), base)
  assert.equal(await type(dir, ['for-each-ref', '--format=%(refname)']), 'refs/heads/task')
  assert.equal(await type(dir, ['remote']), '')
  assert.equal(await type(dir, ['config', '--local', 'user.email']), 'agent@localhost')
  assert.ok(!(await readdir(join(dir, '.git'))).includes('hooks'))
  assert.ok(!(await readFile(join(dir, '.git', 'config'), 'utf8')).includes(stores.source))
  assert.ok((await lstat(join(dir, '.git'))).isDirectory(), 'not a worktree of anything')
  await rename(stores.source, join(root, 'gone'))
  await type(dir, ['fsck', '--strict'])
  const own = await readdir(join(dir, '.git', 'objects'))
  assert.deepEqual(own.toSorted(), ['info', 'pack'], 'nothing was copied')
})

test('a folder that is already there is not written into, and half a checkout is not left', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  const { base } = await refreshed(scratch)
  const dir = scratch.place('taken')
  await mkdir(dir)
  const inTheWay = (error: unknown) => isFault(error, 'git-folder-exists')
  await assert.rejects(git.checkout(stores, base, dir), inTheWay)
  await assert.rejects(git.clone(stores, base, dir, null), inTheWay)
  assert.deepEqual(await readdir(dir), [])
  const failing = scratch.place('failing')
  await assert.rejects(git.checkout(stores, '1'.repeat(40), failing), (error) => isFault(error, 'git-failed'))
  await assert.rejects(git.clone(stores, '1'.repeat(40), failing, null), (error) => isFault(error, 'git-failed'))
  await assert.rejects(lstat(failing), { code: 'ENOENT' })
  assert.deepEqual(
    (await readdir(stores.quarantine)).filter((name) => name.startsWith('index')),
    [],
  )
})
