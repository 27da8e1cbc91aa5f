import assert from 'node:assert/strict'
import { mkdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { realWorld } from '../host/world.ts'
import { makeScratch, searchPath, type Scratch } from './fixture.ts'
import { inspectRepository } from './inspect.ts'

const look = (folder: string, base: string | null = null) =>
  inspectRepository(realWorld(), { folder, path: searchPath, base })

async function seen(folder: string, base: string | null = null) {
  const found = await look(folder, base)
  if (isRefusal(found)) throw new Error(found.why)
  return found
}

const refusedAt = async (folder: string, base: string | null = null): Promise<string> => {
  const found = await look(folder, base)
  return isRefusal(found) ? found.refused : `seen: ${found.top}`
}

const empty = async (scratch: Scratch, name: string, ...args: string[]): Promise<string> => {
  const folder = scratch.place(name)
  await mkdir(folder)
  await scratch.type(folder, ['init', '-q', '-b', 'main', ...args])
  return folder
}

test('from any folder within, the top, the branch and its commit are found, links resolved', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const link = scratch.place('link')
  await symlink(source, link)
  const commit = await scratch.type(source, ['rev-parse', 'HEAD'])
  for (const folder of [source, join(source, 'src'), link]) {
    const { top, base, commit: found } = await seen(folder)
    assert.deepEqual({ top, base, found }, { top: await realpath(source), base: 'main', found: commit })
  }
})

test('what is committed is seen, not what lies in the work tree', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  await scratch.commit(source, { 'package.json': '{}', 'a b\n"c".txt': 'odd name', 'empty.txt': '' })
  await writeFile(join(source, 'package.json'), '{ "changed": true }')
  await writeFile(join(source, 'Makefile'), 'test:')
  const { list, read } = await seen(source)
  assert.deepEqual([...list()].sort(), ['a b\n"c".txt', 'empty.txt', 'package.json', 'readme.md', 'src/app.ts'])
  assert.deepEqual(
    ['package.json', 'a b\n"c".txt', 'empty.txt', 'readme.md', 'Makefile', 'src', 'src/app.ts'].map(read),
    ['{}', 'odd name', '', 'one\ntwo\nthree\n', null, null, null],
  )
})

test('a link at the top and a huge file are no configuration', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  await symlink('/etc/passwd', join(source, 'Makefile'))
  await scratch.commit(source, { 'package-lock.json': 'x'.repeat(1024 * 1024 + 1) })
  const { list, read } = await seen(source)
  assert.deepEqual([read('Makefile'), read('package-lock.json')], [null, null])
  assert.ok(list().includes('Makefile'))
})

test('another base than the branch checked out is looked at where it is asked for', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  await scratch.type(source, ['checkout', '-q', '-b', 'next'])
  await scratch.commit(source, { 'next.md': 'next' })
  assert.deepEqual([(await seen(source)).base, (await seen(source)).read('next.md')], ['next', 'next'])
  assert.deepEqual([(await seen(source, 'main')).base, (await seen(source, 'main')).read('next.md')], ['main', null])
})

test('what cannot be worked on is refused, each with its own word', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const plain = scratch.place('plain')
  await mkdir(plain)
  const shallow = scratch.place('shallow')
  await scratch.commit(source, { 'more.md': 'more' })
  await scratch.type(scratch.root, ['clone', '-q', '--depth', '1', `file://${source}`, shallow])
  const detached = scratch.place('detached')
  await scratch.type(scratch.root, ['clone', '-q', source, detached])
  await scratch.type(detached, ['checkout', '-q', '--detach'])
  assert.deepEqual(
    [
      await refusedAt(plain),
      await refusedAt(join(plain, 'nowhere')),
      await refusedAt(join(source, 'readme.md')),
      await refusedAt(shallow),
      await refusedAt(await empty(scratch, 'bare', '--bare')),
      await refusedAt(await empty(scratch, 'fresh')),
      await refusedAt(detached),
      await refusedAt(source, 'mian'),
      await refusedAt(source, 'HEAD'),
      await refusedAt(source, '--all'),
    ],
    [
      'not-a-repository',
      'not-a-repository',
      'not-a-repository',
      'shallow',
      'no-commit',
      'no-commit',
      'no-branch',
      'no-such-branch',
      'no-such-branch',
      'no-such-branch',
    ],
  )
  assert.equal((await seen(detached, 'main')).base, 'main')
})

test('a bare repository is known by its git directory, and sizes are those of the commit and of all objects', async () => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const bare = scratch.place('bare')
  await scratch.commit(source, { 'large.bin': 'x'.repeat(100_000) })
  await scratch.type(scratch.root, ['clone', '-q', '--bare', source, bare])
  const { top, isBare, base, bytes, read } = await seen(bare)
  assert.deepEqual([top, isBare, base, read('readme.md')], [await realpath(bare), true, 'main', 'one\ntwo\nthree\n'])
  assert.equal(bytes.tree, 100_000 + 'one\ntwo\nthree\n'.length + 'export const answer = 41\n'.length)
  assert.ok(bytes.history >= 1024, `${bytes.history}`)
  assert.equal((await seen(source)).isBare, false)
})
