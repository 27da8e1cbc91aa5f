/** The laws of set-up layers and of how trees go. */
import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, readFile, readlink, readdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test, { after } from 'node:test'
import { isFault } from '../host/fault.ts'
import { capture } from '../host/process.ts'
import { makeArea, removeArea, removeTree } from './area.ts'
import { makeFolder, world } from './fixture.ts'
import { applyLayer, sealLayer } from './layer.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const fresh = () => join(folder, world.id('tree'))

/** Writes a tree: text is a file, `-> x` a link, null a folder; `path 555` gives it a mode. */
async function grow(tree: string, entries: Record<string, string | null>): Promise<string> {
  await mkdir(tree, { recursive: true })
  const modes: [string, number][] = []
  for (const [entry, content] of Object.entries(entries)) {
    const [name = '', mode] = entry.split(' ')
    const path = join(tree, name)
    await mkdir(content === null ? path : dirname(path), { recursive: true })
    if (content?.startsWith('-> ')) await symlink(content.slice(3), path)
    else if (content !== null) await writeFile(path, content)
    modes.push([path, mode === undefined ? (content === null ? 0o755 : 0o644) : Number.parseInt(mode, 8)])
  }
  for (const [path, mode] of modes.toReversed()) if (!(await lstat(path)).isSymbolicLink()) await chmod(path, mode)
  return tree
}

/** The whole of a tree: path → what it is, with mode. */
async function picture(tree: string, at = ''): Promise<Record<string, string>> {
  const seen: Record<string, string> = {}
  for (const name of (await readdir(join(tree, at))).toSorted()) {
    const path = at === '' ? name : `${at}/${name}`
    const stat = await lstat(join(tree, path))
    const mode = (stat.mode & 0o777).toString(8)
    if (stat.isSymbolicLink()) seen[path] = `-> ${await readlink(join(tree, path))}`
    else if (stat.isDirectory()) Object.assign(seen, { [path]: `${mode} folder` }, await picture(tree, path))
    else seen[path] = `${mode} ${await readFile(join(tree, path), 'utf8')}`
  }
  return seen
}

const made = {
  'src/a.ts': 'tracked',
  'src/out/b.js': 'built',
  'node_modules/p/bin/tool 755': '#!/bin/sh',
  'node_modules/p/key 444': 'closed by its maker',
  'node_modules/p/mod 555': null,
  'node_modules/.bin/tool': '-> ../p/bin/tool',
  'node_modules/away': '-> /etc/hostname',
  '.git/hooks/post-checkout 755': 'evil',
}
const tracked = new Set(['src/a.ts'])

async function sealed(): Promise<{ layer: string; tree: string }> {
  const tree = await grow(fresh(), made)
  await utimes(join(tree, 'src/out/b.js'), 1_000_000_000, 1_000_000_000)
  const layer = fresh()
  await mkdir(layer)
  await sealLayer(tree, tracked, layer)
  return { layer, tree }
}

test('a layer is what was added, at the top-most path, and never .git; the tree keeps what is tracked', async () => {
  const { layer, tree } = await sealed()
  assert.deepEqual(JSON.parse(await readFile(join(layer, 'manifest.json'), 'utf8')), {
    paths: ['node_modules', 'src/out'],
    files: 3,
    bytes: 33,
    readOnly: ['node_modules/p/key', 'node_modules/p/mod'],
  })
  assert.deepEqual(
    Object.keys(await picture(tree)).filter((path) => !path.startsWith('.git')),
    ['src', 'src/a.ts'],
  )
})

test('a link in the place of a tree is no tree: what it leads to is not sealed, and stays', async () => {
  const house = await grow(fresh(), { 'keys.env': 'KEY=x' })
  const tree = fresh()
  await symlink(house, tree)
  const into = fresh()
  await assert.rejects(sealLayer(tree, new Set(), into), (error) => isFault(error, 'tree-gone'))
  await assert.rejects(sealLayer(join(tree, 'nowhere'), new Set(), into), (error) => isFault(error, 'tree-gone'))
  assert.deepEqual(await picture(house), { 'keys.env': '644 KEY=x' })
  await assert.rejects(lstat(join(into, 'manifest.json')), { code: 'ENOENT' })
})

test('a sealed layer is read-only throughout', async () => {
  const { layer } = await sealed()
  const modes = Object.entries(await picture(join(layer, 'files'))).filter(
    ([path, what]) => path !== 'src' && !what.startsWith('->'),
  )
  assert.ok(modes.length > 6)
  assert.deepEqual(
    modes.filter(([, what]) => (Number.parseInt(what, 8) & 0o222) !== 0),
    [],
  )
})

test('a tree given the layer is what it was after the command: content, modes, links, times', async () => {
  const { layer } = await sealed()
  const tree = await grow(fresh(), { 'src/a.ts': 'another commit' })
  assert.deepEqual(await applyLayer(layer, tree), ['node_modules', 'src/out'])
  const { '.git/hooks/post-checkout 755': _hook, ...rest } = made
  assert.deepEqual(await picture(tree), await picture(await grow(fresh(), { ...rest, 'src/a.ts': 'another commit' })))
  assert.equal((await lstat(join(tree, 'src/out/b.js'))).mtimeMs, 1_000_000_000_000)
})

test('what an attempt does to its copy never reaches the layer', async () => {
  const { layer } = await sealed()
  const before = await picture(join(layer, 'files'))
  const tree = await grow(fresh(), {})
  await applyLayer(layer, tree)
  await writeFile(join(tree, 'node_modules/p/bin/tool'), 'changed')
  await writeFile(join(tree, 'node_modules/new'), 'new')
  await removeTree(join(tree, 'src'))
  assert.deepEqual(await picture(join(layer, 'files')), before)
})

test('what the tree has stays, and through its links nothing is written', async () => {
  const { layer } = await sealed()
  const outside = await grow(fresh(), { kept: 'x' })
  const tree = await grow(fresh(), {
    'node_modules/p/key': 'its own',
    'node_modules/away': 'a file',
    src: `-> ${outside}`,
  })
  assert.deepEqual(await applyLayer(layer, tree), ['node_modules'])
  const all = await picture(tree)
  assert.deepEqual(
    [all['node_modules/p/key'], all['node_modules/away'], all['node_modules/p/bin/tool'], await picture(outside)],
    ['644 its own', '644 a file', '755 #!/bin/sh', { kept: '644 x' }],
  )
  const linked = await grow(fresh(), { node_modules: `-> ${outside}` })
  await applyLayer(layer, linked)
  assert.deepEqual(await picture(outside), { kept: '644 x' })
})

test('sockets and pipes are left out, and a seal that was cut short is begun anew', async () => {
  const tree = await grow(fresh(), { 'cache/file': 'x' })
  const fifo = { file: 'mkfifo', args: ['cache/pipe', 'pipe'], cwd: tree, env: { PATH: '/usr/bin:/bin' } }
  assert.equal((await capture(world.spawn, fifo)).code, 0)
  const layer = await grow(fresh(), { 'files/cache/stale 444': 'of a daemon that died', 'files/cache 555': null })
  assert.deepEqual(await sealLayer(tree, new Set(), layer), { paths: ['cache'], files: 1, bytes: 1, readOnly: [] })
  const copy = await grow(fresh(), {})
  await applyLayer(layer, copy)
  assert.deepEqual(await picture(copy), { cache: '755 folder', 'cache/file': '644 x' })
})

test('an area goes whole: closed folders, links to elsewhere, paths longer than the kernel takes', async () => {
  const outside = await grow(fresh(), { kept: 'x' })
  const area = await makeArea(fresh())
  await grow(area.work, {
    'closed/file': 'x',
    'closed/deeper/file 000': 'x',
    'closed/deeper 000': null,
    link: `-> ${outside}`,
  })
  await chmod(join(area.work, 'closed'), 0)
  const name = 'd'.repeat(200)
  const dig = `for (let i = 0; i < 60; i++) { fs.mkdirSync('${name}'); process.chdir('${name}') } fs.writeFileSync('f', '')`
  const digger = { file: process.execPath, args: ['-e', dig], cwd: area.home, env: {} }
  assert.equal((await capture(world.spawn, digger)).code, 0)
  await removeArea(area)
  assert.deepEqual(
    [await picture(outside), await lstat(area.root).catch((e: NodeJS.ErrnoException) => e.code)],
    [{ kept: '644 x' }, 'ENOENT'],
  )
})
