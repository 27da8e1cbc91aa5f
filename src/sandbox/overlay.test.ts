/** The laws of a layer laid below a tree: it is seen as a copy would be, written as a copy would be, and never touched. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { removeArea, removeTree } from './area.ts'
import { boxOf, carrying, freshArea, hear, makeFolder, see, shell, standOn, world } from './fixture.ts'
import { applyLayer, sealLayer } from './layer.ts'
import { layBelow, layerLink } from './overlay.ts'
import type { Area, Sandbox } from './sandbox.ts'

/** With all that means something to a mount. */
const folder = join(await makeFolder(), 'a,b:c\\d')
await mkdir(folder)
after(() => removeTree(join(folder, '..')))
const rungs = { cgroup: await standOn('cgroup', folder), namespace: await standOn('namespace', folder) }

function law(name: string, body: (sandbox: Sandbox) => Promise<void>): void {
  for (const [rung, sandbox] of Object.entries(rungs)) {
    const skip = typeof sandbox === 'string' ? sandbox : !sandbox.overlays && 'this machine copies its layers'
    test(`${rung}: ${name}`, { skip }, () => body(sandbox as Sandbox))
  }
}

/** What set-up leaves: writable and closed files, a link, a program, an old file. */
async function makeLayer(): Promise<string> {
  const tree = join(folder, world.id('made'))
  await mkdir(join(tree, 'deps', 'inner'), { recursive: true })
  for (const name of ['read', 'change', 'delete', 'mode', 'inner/one', 'inner/two'])
    await writeFile(join(tree, 'deps', name), `${name} of the layer\n`)
  await writeFile(join(tree, 'deps', 'closed'), 'closed\n', { mode: 0o444 })
  await writeFile(join(tree, 'deps', 'tool'), '#!/bin/sh\necho worked\n', { mode: 0o755 })
  await symlink('read', join(tree, 'deps', 'link'))
  await utimes(join(tree, 'deps', 'read'), 1_000_000_000, 1_000_000_000)
  const layer = join(folder, world.id('layer'))
  await mkdir(layer)
  await sealLayer(tree, new Set(), layer, 'as made')
  return layer
}

/** Everything of a tree: names, modes, owners' bits, content, targets. */
async function sumOf(tree: string): Promise<string> {
  const sum = createHash('sha256')
  const look = async (path: string): Promise<void> => {
    const stat = await lstat(path)
    sum.update(`${path} ${stat.mode} ${stat.mtimeMs} ${stat.ino}\n`)
    if (stat.isSymbolicLink()) sum.update(await readlink(path))
    else if (stat.isFile()) sum.update(await readFile(path))
    else for (const name of (await readdir(path)).toSorted()) await look(join(path, name))
  }
  await look(tree)
  return sum.digest('hex')
}

const above = async (layer: string): Promise<Area> => layBelow(await freshArea(folder), layer)
const listing = 'cd /work && find deps -printf "%p %y %m %l " \\( -type f -exec cat {} \\; -o -printf "\\n" \\) | sort'
const times = '; stat -c "%n %Y" /work/deps/read'

law('a layer below a tree is seen as a copy of it would be', async (sandbox) => {
  const layer = await makeLayer()
  const copied = await freshArea(folder)
  await applyLayer(layer, copied.work)
  const asCopy = await see(sandbox, shell(copied, listing + times))
  assert.equal(asCopy.code, 0, asCopy.stderr)
  assert.match(asCopy.stdout, /deps\/closed f 444/)
  assert.deepEqual(await see(sandbox, shell(await above(layer), listing + times)), asCopy)
})

law('whatever a program does to it, the layer is as it was, and so is what the next one sees', async (sandbox) => {
  const layer = await makeLayer()
  const before = await sumOf(layer)
  const first = await see(sandbox, shell(await above(layer), listing))
  const area = await above(layer)
  const vandal = [
    'set -e; cd /work/deps',
    'echo changed >change; echo more >>read; rm delete; chmod 600 mode; ln -sf nowhere link; echo new >new',
    'mv inner moved; rm -rf moved; mkdir inner; echo own >inner/three',
    'chmod u+w closed; echo opened >closed; mv tool tool2; ./tool2',
    'cd ..; cp -a deps again; rm -rf deps; test ! -e deps; mv again deps; find deps | sort',
  ].join('\n')
  const done = await see(sandbox, shell(area, vandal))
  assert.deepEqual([done.code, done.stderr], [0, ''])
  const left = ['', '/change', '/closed', '/inner', '/inner/three', '/link', '/mode', '/new', '/read', '/tool2']
  assert.equal(done.stdout, `worked\n${left.map((each) => `deps${each}\n`).join('')}`)
  const later = await see(sandbox, shell(area, 'cd /work; find deps | sort; cat deps/change'))
  assert.equal(
    later.stdout,
    `${done.stdout.replace('worked\n', '')}changed\n`,
    'the next program of the same tree goes on',
  )
  assert.equal(await sumOf(layer), before)
  assert.deepEqual(await see(sandbox, shell(await above(layer), listing)), first)
  await removeArea(area)
  assert.equal(await lstat(area.root).catch((error: NodeJS.ErrnoException) => error.code), 'ENOENT')
})

law('what the tree has stays, whatever the layer has there', async (sandbox) => {
  const area = await freshArea(folder)
  await mkdir(join(area.work, 'deps'))
  await writeFile(join(area.work, 'deps', 'read'), 'of the tree\n')
  await writeFile(join(area.work, 'deps', 'inner'), 'a file\n')
  const box = shell(await layBelow(area, await makeLayer()), 'cat deps/read deps/inner deps/change')
  assert.equal((await see(sandbox, box)).stdout, 'of the tree\na file\nchange of the layer\n')
})

law('where the tree is read-only the layer is, too', async (sandbox) => {
  const area = await above(await makeLayer())
  const script =
    'cat deps/change; for each in deps/change deps/new new; do (echo x >$each) 2>/dev/null && echo written; done'
  assert.equal((await see(sandbox, shell(area, script, 'sh', { readOnlyWork: true }))).stdout, 'change of the layer\n')
})

law('nothing of how it is done is left inside: no descriptor, no power, no path of the host', async (sandbox) => {
  const script =
    'ls /proc/self/fd | tr "\\n" " "; grep CapEff /proc/self/status; tr "\\0" " " </proc/1/cmdline; cat /proc/1/environ | tr "\\0" "\\n" | grep -c tri; grep " /work " /proc/self/mountinfo | grep overlay'
  const { stdout } = await see(sandbox, shell(await above(await makeLayer()), script))
  assert.match(stdout, /^0 1 2 3 CapEff:\t0+\n/)
  assert.match(stdout, /lowerdir=\/proc\/self\/fd\/17/)
  assert.doesNotMatch(stdout, /tri agent|sandbox-/)
})

law('a kill leaves nothing of it, and the next program of the tree need not wait', async (sandbox) => {
  const area = await above(await makeLayer())
  for (const n of [1, 2, 3]) {
    const token = world.id('overlaid')
    const script = 'setsid sleep 600 & (cd deps && exec setsid sleep 600) & echo ready; wait'
    const contained = await sandbox.start(boxOf(area, ['/bin/sh', '-c', script, token]))
    await hear(contained, 'ready')
    assert.equal((await contained.kill()).survivors, 0, `kill ${n}`)
    assert.deepEqual(carrying(token), [])
    assert.equal((await see(sandbox, shell(area, `cat deps/change && echo ${n} >deps/change`))).code, 0)
  }
})

law('an area says which layer is in use', async () => {
  const layer = await makeLayer()
  const area = await above(layer)
  assert.equal(await readlink(join(area.root, layerLink)), layer)
})

test('a sealed layer that is laid below trees keeps its modes, and can be copied all the same', async () => {
  const layer = await makeLayer()
  const modeOf = async (path: string) => ((await lstat(join(layer, 'files', path))).mode & 0o777).toString(8)
  assert.deepEqual([await modeOf('deps/change'), await modeOf('deps/closed')], ['644', '444'])
  const tree = join(folder, world.id('tree'))
  await mkdir(tree)
  assert.deepEqual(await applyLayer(layer, tree), ['deps'])
  await chmod(join(tree, 'deps', 'change'), 0o600)
  assert.equal(await modeOf('deps/change'), '644')
})
