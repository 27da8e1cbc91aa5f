/**
 * Machines on which less can be had than promised: `doctor`, as a person types it, names what is in the way and the rung that is left, and where that is
 * accepted it holds what it says. Each is made here, of namespaces that go with it; a real container of runc, where there is one.
 */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { after } from 'node:test'
import type { Check } from '../../src/core/check.ts'
import { capture } from '../../src/host/process.ts'
import { removeTree } from '../../src/sandbox/area.ts'
import { find } from '../../src/sandbox/create.ts'
import { makeFolder, path, world } from '../../src/sandbox/fixture.ts'
import { implementing, approving, program, rig } from '../e2e/rig.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const isRoot = process.getuid?.() === 0
const root = join(import.meta.dirname, '../..')

/** Is started where `script` has changed what can be had; the rest of its words is what is typed. */
const inside = (script: string, ...unshare: string[]): string[] => [
  'unshare',
  ...unshare,
  'sh',
  '-c',
  `${script}; exec "$@"`,
  'sh',
]

type Found = Record<string, Pick<Check, 'state' | 'found'> & { mend: string }>

function read(stdout: string, stderr: string): Found {
  assert.ok(stdout.startsWith('{'), stdout + stderr)
  const { checks = [] } = JSON.parse(stdout) as { checks?: Check[] }
  return Object.fromEntries(checks.map(({ name, state, found, mend }) => [name, { state, found, mend: mend ?? '' }]))
}

async function doctor(prefix: readonly string[], home: string, more: Record<string, string> = {}): Promise<Found> {
  const [file = '', ...args]: string[] = [...prefix, process.execPath, program, 'doctor', '--json']
  const env = { HOME: home, PATH: path, ...more }
  const { stdout, stderr } = await capture(world.spawn, { file, args, cwd: home, env })
  return read(stdout, stderr)
}

async function freshHome(name = world.id('home')): Promise<string> {
  const home = join(folder, name)
  mkdirSync(home, { recursive: true })
  return home
}

/** A law of a machine that only root can make. */
const law = (name: string, body: () => Promise<void>): void =>
  void test(name, { skip: !isRoot && 'only root can make such a machine here' }, body)

law('no user namespaces: the setting that forbids them is named, and the rung that is left', async () => {
  const forbid = inside('echo 0 > /proc/sys/user/max_user_namespaces', '--user', '--map-root-user')
  const { sandbox } = await doctor(forbid, await freshHome())
  assert.equal(sandbox?.state, 'missing')
  assert.match(sandbox.found, /user\.max_user_namespaces is 0: sysctl .*; left is the rung (?:subreaper|group)$/)
  assert.match(sandbox.mend, /rung: group \(files, network and daemons are not held\)/)
})

law('no /proc: that is named, the group is what is left, and there is as much memory as before', async () => {
  const { sandbox, memory } = await doctor(inside('mount -t tmpfs none /proc', '--mount'), await freshHome())
  assert.equal(memory?.state, 'ok', memory?.found)
  assert.equal(sandbox?.state, 'missing')
  assert.match(sandbox.found, /there is no \/proc: mount -t proc proc \/proc; left is the rung group$/)
})

law('a HOME that is read-only: where state would be is named', async () => {
  const home = await freshHome()
  const readOnly = inside('mount --bind "$HOME" "$HOME"; mount -o remount,ro,bind "$HOME"', '--mount')
  const { 'state folder': state } = await doctor(readOnly, home)
  assert.equal(state?.state, 'missing')
  assert.match(state.found, / cannot be made: .* is read-only$/s)
  assert.match(state.mend, /XDG_STATE_HOME/)
})

law('a state folder in which no program may start is warned of; a /tmp that is so takes nothing away', async () => {
  const home = await freshHome()
  const over = (where: string) => inside(`mount -t tmpfs -o noexec,mode=1777 tmpfs "${where}"`, '--mount')
  const usual = await doctor([], home)
  const { 'file system': files } = await doctor(over('$HOME'), home)
  assert.deepEqual([files?.state, /noexec/.test(files?.found ?? '')], ['warning', true])
  const temporary = join(folder, 'tmp')
  mkdirSync(temporary)
  const { sandbox } = await doctor(over(temporary), home, { TMPDIR: temporary })
  assert.deepEqual(sandbox, usual['sandbox'])
})

test('a HOME of 300 characters with blanks and newlines: nothing is amiss, and a task goes all the way', async () => {
  const home = await freshHome(join('long '.padEnd(150, 'g'), 'and\nnew '.padEnd(150, 'e')))
  const { sandbox, 'state folder': state } = await doctor([], home)
  assert.deepEqual([sandbox?.state, state?.state], ['ok', 'warning'])
  const rules = [
    implementing('Sell coffee', { write: { path: 'coffee.txt', content: 'coffee\n' } }, { say: 'Done.' }),
    approving,
  ]
  await using shop = await rig({ home, rules })
  await shop.up()
  const id = await shop.add('Sell coffee')
  const task = await shop.state(id, 'done', 'escalated')
  assert.equal(task.phase, 'done', task.why ?? '')
})

const runc = find('runc', `${path}:/usr/sbin:/sbin`)
const noContainer = !isRoot ? 'only root can make such a machine here' : runc === null && 'runc is not installed'
if (noContainer !== false) process.stdout.write(`SKIPPED a container without privileges: ${noContainer}\n`)

/** What Docker's filter forbids of all that makes a namespace. */
const noNamespaces = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [
    { names: ['unshare', 'setns', 'mount', 'umount2', 'pivot_root'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    {
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 1,
      args: [{ index: 0, value: 0x10000000, valueTwo: 0x10000000, op: 'SCMP_CMP_MASKED_EQ' }],
    },
  ],
}

/** doctor in a container of this system's own programs: another user, no privilege, everything read-only but HOME, /proc masked as containers have it. */
async function inContainer(seccomp: object | null): Promise<Found> {
  const at = join(await freshHome(), 'bundle')
  const [rootfs, home] = [join(at, 'rootfs'), join(at, 'home')]
  for (const each of ['usr', 'etc', 'proc', 'dev', 'sys', 'tmp', 'opt/tri', 'opt/node', 'home/me'])
    mkdirSync(join(rootfs, each), { recursive: true })
  for (const each of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${each}`, join(rootfs, each))
  mkdirSync(home)
  chownSync(home, 1000, 1000)
  chmodSync(folder, 0o755)
  const spec = await capture(world.spawn, { file: runc!, args: ['spec'], cwd: at, env: { PATH: path } })
  assert.equal(spec.code, 0, spec.stderr)
  const config = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8')) as {
    process: Record<string, unknown>
    mounts: object[]
    linux: Record<string, unknown>
  } & Record<string, unknown>
  const bind = (source: string, destination: string, mode: 'ro' | 'rw') => ({
    source,
    destination,
    type: 'bind',
    options: ['rbind', mode],
  })
  const none = Object.fromEntries(
    ['bounding', 'effective', 'permitted', 'inheritable', 'ambient'].map((each) => [each, []]),
  )
  Object.assign(config.process, {
    terminal: false,
    user: { uid: 1000, gid: 1000 },
    noNewPrivileges: true,
    capabilities: none,
    env: ['PATH=/usr/bin:/bin', 'HOME=/home/me', 'TMPDIR=/home/me'],
    cwd: '/home/me',
    args: ['/opt/node/bin/node', '/opt/tri/src/cli/main.ts', 'doctor', '--json'],
  })
  config.mounts.push(
    bind('/usr', '/usr', 'ro'),
    bind('/etc', '/etc', 'ro'),
    bind(root, '/opt/tri', 'ro'),
    bind(dirname(dirname(process.execPath)), '/opt/node', 'ro'),
    bind(home, '/home/me', 'rw'),
  )
  if (seccomp !== null) config.linux['seccomp'] = seccomp
  writeFileSync(join(at, 'config.json'), JSON.stringify({ ...config, root: { path: 'rootfs', readonly: true } }))
  const args = ['--root', join(folder, 'containers'), 'run', world.id('tri-agent')]
  const { stdout, stderr } = await capture(world.spawn, { file: runc!, args, cwd: at, env: { PATH: path } })
  return read(stdout, stderr)
}

test(
  'a container without privileges: what forbids a namespace is named, and the subreaper is left',
  { skip: noContainer },
  async () => {
    const [filtered, masked] = [await inContainer(noNamespaces), await inContainer(null)]
    assert.deepEqual([filtered['sandbox']?.state, masked['sandbox']?.state], ['missing', 'missing'])
    assert.match(
      filtered['sandbox']!.found,
      /its system-call filter forbids namespaces: .*; left is the rung subreaper$/s,
    )
    assert.match(masked['sandbox']!.found, /a container that masks its \/proc: .*; left is the rung subreaper$/s)
  },
)
