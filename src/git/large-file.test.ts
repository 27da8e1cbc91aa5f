import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { lstat, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { makeScratch, refreshed, type Scratch } from './fixture.ts'

const oidOf = (content: string): string => createHash('sha256').update(content).digest('hex')
const pointerTo = (content: string): string =>
  `version https://git-lfs.github.com/spec/v1\noid sha256:${oidOf(content)}\nsize ${content.length}\n`

/** Puts a content where git-lfs keeps it; answers the file. */
async function keep({ stores }: Scratch, content: string): Promise<string> {
  const oid = oidOf(content)
  const file = join(stores.source, '.git/lfs/objects', oid.slice(0, 2), oid.slice(2, 4), oid)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content, { mode: 0o444 })
  return file
}

test('checkouts have the contents that the clone has, authors the pointers, and what is not there is named', async () => {
  await using scratch = await makeScratch()
  const { git, stores, commit, type, place } = scratch
  await commit(stores.source, {
    'art/.gitattributes': '*.bin filter=lfs diff=lfs merge=lfs -text\n',
    'art/a.bin': pointerTo('a content'),
    'art/gone.bin': pointerTo('nobody has it'),
    'tool.bin': pointerTo('a program'),
    'like.bin': `see: ${pointerTo('a content')}`,
  })
  await type(stores.source, ['update-index', '--chmod=+x', 'tool.bin'])
  await type(stores.source, ['commit', '-q', '-m', 'A tool'])
  await keep(scratch, 'a content')
  await keep(scratch, 'a program')
  const { base } = await refreshed(scratch)
  const folder = place('checkout')
  await git.checkout(stores, base, folder)
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  assert.deepEqual(
    [await read('art/a.bin'), await read('tool.bin'), await read('art/gone.bin'), await read('like.bin')],
    ['a content', 'a program', pointerTo('nobody has it'), `see: ${pointerTo('a content')}`],
  )
  assert.deepEqual(
    await Promise.all(['art/a.bin', 'tool.bin'].map(async (name) => (await lstat(join(folder, name))).mode & 0o311)),
    [0o200, 0o311],
    'writable, and executable where it was',
  )
  const clone = place('clone')
  await git.clone(stores, base, clone, null)
  assert.equal(await readFile(join(clone, 'art/a.bin'), 'utf8'), pointerTo('a content'))
  assert.equal(await type(clone, ['status', '--porcelain']), '')
  assert.deepEqual((await git.outside(stores, base)).large, { files: 3, bytes: 31, missing: ['art/gone.bin'] })
})

test('a content that is short, a link, or not asked for by any attribute stays a pointer', async () => {
  await using scratch = await makeScratch()
  const { git, stores, commit, root, place } = scratch
  await commit(stores.source, {
    '.gitattributes': '*.bin binary\n',
    'a.bin': pointerTo('a content'),
    'c.bin': pointerTo('c content'),
    'b.bin': pointerTo('b content'),
  })
  await writeFile(await keep(scratch, 'a content').then(async (file) => (await rm(file), file)), 'a con')
  const b = await keep(scratch, 'b content')
  await rm(b)
  await writeFile(join(root, 'elsewhere'), 'b content')
  await symlink(join(root, 'elsewhere'), b)
  const without = place('checkout')
  await keep(scratch, 'c content')
  await git.checkout(stores, (await refreshed(scratch)).base, without)
  assert.equal(await readFile(join(without, 'c.bin'), 'utf8'), pointerTo('c content'))
  await commit(stores.source, { '.gitattributes': '*.bin filter=lfs\n' })
  const { base } = await refreshed(scratch)
  const folder = place('checkout')
  await git.checkout(stores, base, folder)
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  assert.deepEqual(
    [await read('a.bin'), await read('b.bin'), await read('c.bin')],
    [pointerTo('a content'), pointerTo('b content'), 'c content'],
  )
  assert.deepEqual((await git.outside(stores, base)).large.missing, ['a.bin', 'b.bin'])
})

test('work that puts a content where a pointer was is refused, also where it takes the attribute away; another pointer and a deletion are not', async () => {
  await using scratch = await makeScratch()
  const { git, stores, commit, attempt } = scratch
  const attributes = '*.bin filter=lfs\n'
  await commit(stores.source, {
    '.gitattributes': attributes,
    'a.bin': pointerTo('a content'),
    'b.bin': pointerTo('b content'),
  })
  const { base } = await refreshed(scratch)
  const judge = async (files: Record<string, string>, gone?: string) => {
    const bundle = await attempt(base, async (dir) => {
      if (gone !== undefined) await rm(join(dir, gone))
      await commit(dir, files)
    })
    const taken = await git.intake(stores, bundle, base, 'task_1/1')
    return isRefusal(taken) ? taken.why : 'taken'
  }
  const refused = 'a.bin: is in Git LFS, where no task can put a content'
  assert.deepEqual(
    [
      await judge({ 'a.bin': 'a new content' }),
      await judge({ 'a.bin': 'a new content', '.gitattributes': '' }),
      await judge({ 'a.bin': pointerTo('another') }, 'b.bin'),
      await judge({ 'text.txt': 'no pointer\n' }),
    ],
    [refused, refused, 'taken', 'taken'],
  )
})
