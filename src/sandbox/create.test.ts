/** Which rung is taken, and what is said where a machine has not the best one. */
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { access, chmod, mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import test, { after } from 'node:test'
import { isRefusal } from '../core/refusal.ts'
import { capture } from '../host/process.ts'
import { removeTree } from './area.ts'
import { createSandbox, find, placeOfNode, probe, hindrances } from './create.ts'
import { makeFolder, path, standOn, world } from './fixture.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const namespace = await standOn('namespace', folder)
const low = typeof (await standOn('subreaper', folder)) === 'string' ? 'group' : 'subreaper'
const top = typeof (await standOn('cgroup', folder)) === 'string' ? 'namespace' : 'cgroup'
const skip = typeof namespace === 'string' && namespace
const linux = process.platform !== 'linux' && 'not Linux'

/** A PATH on which bubblewrap is this script. */
async function pathWith(script: string | null): Promise<string> {
  const bin = join(folder, world.id('bin'))
  await mkdir(bin)
  if (script !== null) await writeFile(join(bin, 'bwrap'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return bin
}
const probing = async (script: string | null) => probe(world, { path: await pathWith(script), folder })
const noNamespace = {
  rung: low,
  available: { cgroup: false, namespace: false, companion: false, subreaper: low === 'subreaper', group: true },
}

test(
  'a machine with all of it stands on the namespace rung, or above it where it may make a cgroup',
  { skip },
  async () => {
    const { reasons, above, ...rest } = await probe(world, { path, folder })
    assert.deepEqual(rest, {
      rung: top,
      available: { cgroup: top === 'cgroup', namespace: true, companion: false, subreaper: false, group: true },
    })
    assert.equal(
      above.some((each) => each.startsWith('no cgroup: ')),
      top === 'namespace',
    )
    assert.deepEqual(
      reasons.filter((each) => !each.startsWith('there is no system-call filter')),
      [],
    )
  },
)

test(
  'one contained program is enough to find that out, and a shell that cannot call is no reason to stay below',
  { skip },
  async () => {
    const started: string[] = []
    const spawn: typeof world.spawn = (spec) => {
      started.push(spec.args.includes('--version') ? 'version' : 'program')
      return world.spawn(spec)
    }
    const probeOn = async (each: string) => {
      started.length = 0
      const { rung } = await probe({ ...world, spawn }, { path: each, folder })
      return { rung, started: [...started] }
    }
    assert.deepEqual(await probeOn(path), { rung: top, started: ['version', 'program'] })
    // a bash that is not shown inside
    const bin = await pathWith(null)
    await writeFile(join(bin, 'bash'), '#!/bin/sh\nexec /bin/bash "$@"\n', { mode: 0o755 })
    assert.deepEqual(await probeOn(`${bin}${delimiter}${path}`), {
      rung: top,
      started: ['version', 'program', 'program'],
    })
  },
)

test('a machine that mounts no overlay copies its layers, on the same rung, and says why', { skip }, async () => {
  const bin = await pathWith(null)
  await writeFile(join(bin, 'mount'), '#!/bin/sh\necho no overlay here >&2; exit 32\n', { mode: 0o755 })
  const options = { path: `${bin}${delimiter}${path}`, folder }
  const { rung, above } = await probe(world, options)
  assert.equal(rung, top)
  assert.match(above.at(-1)!, /^set-up layers are copied: an overlay does not work in [^]*: no overlay here$/)
  const sandbox = await createSandbox(world, { ...options, lowest: 'namespace' })
  assert.ok(!('refused' in sandbox))
  assert.deepEqual([sandbox.rung, sandbox.overlays], [top, false])
})

test('without bubblewrap, the reason says how to get it', { skip: linux }, async () => {
  const { above: _, ...found } = await probing(null)
  assert.deepEqual(found, {
    ...noNamespace,
    reasons: ['bubblewrap is not installed: apt-get install bubblewrap, or dnf install bubblewrap'],
  })
})

test(
  'where no namespace can be had, what is left is tried too, and where koffi is not installed that is said',
  { skip: linux },
  async () => {
    const { rung, above } = await probing(null)
    assert.deepEqual([rung, above.length], rung === 'subreaper' ? ['subreaper', 0] : ['group', 1])
    const spawn: typeof world.spawn = (spec) =>
      world.spawn({ ...spec, args: spec.args.map((each) => each.replace('watcher.mjs', 'no-watcher.mjs')) })
    const without = await probe({ ...world, spawn }, { path: await pathWith(null), folder })
    assert.equal(without.rung, 'group')
    assert.match(without.above[0]!, /^no subreaper: koffi is not installed \(npm install /)
  },
)

test('a bubblewrap that is too old, or is none, is named', { skip: linux }, async () => {
  assert.deepEqual(
    [await probing('echo bubblewrap 0.6.1'), await probing('echo hello')].map(({ rung, reasons }) => [
      rung,
      reasons.map((each) => each.replace(/^\/[^]*\/bwrap/, 'it')),
    ]),
    [
      [low, ['bubblewrap 0.6.1 is too old, 0.8 is the first that will do: install a newer bubblewrap']],
      [low, ['it does not tell its version: is it bubblewrap?']],
    ],
  )
})

test('a bubblewrap that may not do its work is found out by trying, and quoted', { skip: linux }, async () => {
  const complains = 'echo "bwrap: setting up uid map: Permission denied" >&2; exit 1'
  const { rung, reasons } = await probing(`case $1 in --version) echo bubblewrap 1.0.2;; *) ${complains};; esac`)
  assert.equal(rung, low)
  assert.match(reasons[0]!, /does not work here .*: bwrap: setting up uid map: Permission denied$/)
})

test('settings and containers that forbid namespaces are named with what to type', { skip: linux }, async () => {
  const sys = join(folder, 'sys')
  for (const [name, value] of [
    ['kernel/apparmor_restrict_unprivileged_userns', '1'],
    ['user/max_user_namespaces', '9'],
  ] as const) {
    await mkdir(dirname(join(sys, name)), { recursive: true })
    await writeFile(join(sys, name), `${value}\n`)
  }
  const apparmor = 'kernel.apparmor_restrict_unprivileged_userns is 1: give bwrap an AppArmor profile that has userns'
  const complaint = 'bwrap: setting up uid map: Permission denied'
  const none = join(folder, 'no-sys')
  assert.deepEqual(hindrances(complaint, sys), [apparmor])
  assert.match(
    hindrances(complaint, none).join(),
    /^where this is a container, its system-call filter forbids namespaces/,
  )
  assert.match(
    hindrances("bwrap: Can't mount proc on /newroot/proc", none).join(),
    /^a container that masks its \/proc/,
  )
  assert.deepEqual(hindrances('bwrap: execvp node: No such file or directory', none), [])
})

test('one that only pretends to contain is found out too', { skip: linux }, async () => {
  const { rung } = await probing('case $1 in --version) echo bubblewrap 1.0.2;; *) exit 0;; esac')
  assert.equal(rung, low)
})

test('a rung below the lowest accepted is refused, with what to do; an accepted one is taken', async () => {
  const bare = { path: await pathWith(null), folder }
  const refused = await createSandbox(world, { ...bare, lowest: 'namespace' })
  assert.ok(isRefusal(refused))
  assert.equal(refused.refused, 'rung-too-low')
  assert.match(refused.hint!, /rung: group/)
  const taken = await createSandbox(world, { ...bare, lowest: 'group' })
  assert.equal(isRefusal(taken) ? taken.why : taken.rung, low)
  const asked = await createSandbox(world, { ...bare, lowest: 'group', rung: 'namespace' })
  assert.equal(isRefusal(asked) && asked.refused, 'rung-too-low')
  const below = await createSandbox(world, { path, folder, lowest: 'namespace', rung: 'group' })
  assert.equal(isRefusal(below) && below.refused, 'rung-too-low')
})

test('of a Node, its own folder is shown, but never a home nor a folder that only has a bin', async () => {
  const home = join(folder, 'home')
  const place = async (prefix: string, isNodes: boolean) => {
    await mkdir(join(prefix, 'bin'), { recursive: true })
    if (isNodes) await mkdir(join(prefix, 'include', 'node'), { recursive: true })
    if (isNodes) await writeFile(join(prefix, 'include', 'node', 'node_version.h'), '')
    return placeOfNode(join(prefix, 'bin', 'node'), home).prefix
  }
  const nvm = join(home, '.nvm', 'v24')
  assert.deepEqual(
    [await place(nvm, true), await place(join(home, 'x'), false), await place(home, true), await place(folder, true)],
    [nvm, null, null, null],
  )
  assert.deepEqual(placeOfNode('/usr/bin/node', home), { binary: '/usr/bin/node', prefix: null })
})

test('programs are looked for in absolute folders only', () => assert.equal(find('sh', `.${delimiter}bin`), null))

const setpriv = find('setpriv', path)
const root = process.getuid?.() === 0
const readable = await access(homedir()).then(
  () => existsSync(import.meta.filename),
  () => false,
)
const noOther = !root ? 'the caller is not root already' : setpriv === null || !readable ? 'no setpriv' : skip

test('a caller who is not root stands there too', { skip: noOther }, async () => {
  const own = join(folder, 'nobody')
  await mkdir(own)
  await chmod(own, 0o777)
  await chmod(folder, 0o755)
  const program = `
    const { probe } = await import(${JSON.stringify(join(import.meta.dirname, 'create.ts'))})
    const { realWorld } = await import(${JSON.stringify(join(import.meta.dirname, '../host/world.ts'))})
    const { rung, reasons } = await probe(realWorld(), ${JSON.stringify({ path, folder: own })})
    console.log(rung, ...reasons)`
  const user = [setpriv!, '--reuid', '65534', '--regid', '65534', '--clear-groups']
  // Where /dev/null is root's alone (seen on a machine), no other user can start anything: there it gets one in a mount namespace of its own.
  const script = 'mknod -m 666 "$1" c 1 3 && mount --bind "$1" /dev/null && shift && exec "$@"'
  const mend = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'mend', join(folder, 'null')]
  const isOpen = (statSync('/dev/null').mode & 0o006) === 0o006
  const [file, ...args] = [...(isOpen ? [] : mend), ...user, process.execPath, '--input-type=module', '-e', program]
  const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` }
  const { stdout, stderr } = await capture(world.spawn, { file, args, cwd: '/', env })
  assert.equal(stdout, 'namespace\n', stderr)
})
