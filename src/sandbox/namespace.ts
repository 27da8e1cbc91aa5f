/**
 * The namespace rung: bubblewrap around one process tree. Own user, pid, mount, network, ipc and uts namespace, no capabilities, a seccomp filter,
 * an environment we wrote, and only the attempt's own folders writable. Killing the outermost process ends everything: the kernel does it.
 *
 * Options go over a pipe, so that no key and no host path is in any argv. The launcher's environment is empty, because the first process inside
 * shows it in /proc/1/environ whatever --clearenv says. Descriptors above 5 are closed first: Node lets some through.
 */
import { closeSync, openSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { inPidNamespace, pidNamespaceOf, descendantsOf, startTimeOf } from '../host/proc.ts'
import type { World } from '../host/world.ts'
import { finish } from './finish.ts'
import type { Area, Box, Contained, KillReport, Sandbox, View } from './sandbox.ts'

/** What the host must have, found by `probe`. */
export type NamespaceTools = {
  bwrap: string
  bash: string
  prlimit: string | null
  node: string
  filterFile: string | null
}

const forwarder = join(import.meta.dirname, 'forwarder.mjs')
const gatewayPort = 8701
const inside = { work: '/work', home: '/home/agent', out: '/out', tmp: '/tmp' } as const

/** Closes every inherited descriptor above 5, then becomes the command. */
const closeDescriptors =
  'for f in /proc/$$/fd/*; do n=${f##*/}; if [ "$n" -gt 5 ]; then eval "exec $n>&-"; fi; done; exec "$@"'

/**
 * bash reads rc files, --norc or not, when its stdin is a socket (it takes that for rsh), which Node's is; not in a nested shell, and not where
 * there is no home. The first process inside shows these two in /proc/1/environ, and nothing else.
 */
const launcherEnv = { SHLVL: '2', HOME: '/nonexistent' }

/** Folders of the system that are shown read-only where they exist. */
const systemFolders = [
  '/usr',
  '/etc/ssl/certs',
  '/etc/ca-certificates',
  '/etc/alternatives',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/ld.so.conf.d',
  '/nix/store',
]
const systemLinks = [
  ['usr/bin', '/bin'],
  ['usr/sbin', '/sbin'],
  ['usr/lib', '/lib'],
  ['usr/lib64', '/lib64'],
  ['usr/lib32', '/lib32'],
] as const

const etcFiles: Readonly<Record<string, string>> = {
  passwd: 'agent:x:1000:1000::/home/agent:/bin/sh\n',
  group: 'agent:x:1000:\n',
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'resolv.conf': '',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

/** A sandbox on this rung. */
export function namespaceSandbox(world: World, tools: NamespaceTools): Sandbox {
  return {
    rung: 'namespace',
    view: () => ({ ...inside, gatewayUrl: `http://127.0.0.1:${gatewayPort}` }) satisfies View,
    start: (box) => start(world, tools, box),
  }
}

async function start(world: World, tools: NamespaceTools, box: Box): Promise<Contained> {
  const etc = await writeEtc(box.area)
  const filter = tools.filterFile === null ? null : openSync(tools.filterFile, 'r')
  const nullFile = filter === null ? openSync('/dev/null', 'r') : null
  try {
    const child = await world.spawn({
      file: tools.bash,
      args: [
        '-c',
        closeDescriptors,
        'launch',
        ...limits(tools),
        tools.bwrap,
        '--args',
        '4',
        '--',
        ...command(tools, box),
      ],
      cwd: '/',
      env: launcherEnv,
      stdin: box.stdin,
      extra: [filter ?? nullFile!, 'pipe', 'pipe'],
    })
    child.pipes[4]!.end(
      [...options(tools, box, etc), ...(filter === null ? [] : ['--seccomp', '3'])].map((each) => `${each}\0`).join(''),
    )
    const control = child.pipes[5]!
    const startTime = startTimeOf(child.pid)
    let killing: Promise<KillReport> | null = null
    return finish(world, child, {
      startTime,
      stop: (signal) => void control.write(`${signal}\n`),
      kill: () => (killing ??= kill(world, child.pid, child.exit, () => child.signal('SIGKILL'))),
    })
  } finally {
    if (filter !== null) closeSync(filter)
    if (nullFile !== null) closeSync(nullFile)
  }
}

const limits = ({ prlimit }: NamespaceTools): string[] =>
  prlimit === null ? [] : [prlimit, '--core=0', '--nofile=4096']

/** The forwarder holds the gateway's port and the control pipe; it is the first program inside in any case. */
const command = (_tools: NamespaceTools, { argv, gateway }: Box): string[] => [
  '/run/tri-agent/node',
  '/run/tri-agent/forwarder.mjs',
  String(gatewayPort),
  gateway === null ? '-' : '/run/tri-agent/gateway.sock',
  ...argv,
]

function options(tools: NamespaceTools, box: Box, etc: string): string[] {
  const { area, gateway, toolchain = [] } = box
  const path = [...toolchain, dirname('/run/tri-agent/node'), '/usr/local/bin', '/usr/bin', '/bin'].join(':')
  const env = { PATH: path, LANG: 'C.UTF-8', NO_PROXY: '127.0.0.1,localhost', ...box.env }
  return [
    '--unshare-all',
    '--unshare-user',
    '--disable-userns',
    '--uid',
    '1000',
    '--gid',
    '1000',
    '--die-with-parent',
    '--new-session',
    '--clearenv',
    '--cap-drop',
    'ALL',
    '--hostname',
    'agent',
    ...systemFolders.flatMap((folder) => ['--ro-bind-try', folder, folder]),
    ...systemLinks.flatMap(([to, link]) => ['--symlink', to, link]),
    ...Object.keys(etcFiles).flatMap((name) => ['--ro-bind', join(etc, name), `/etc/${name}`]),
    '--proc',
    '/proc',
    '--ro-bind',
    '/proc/sys',
    '/proc/sys',
    '--dev',
    '/dev',
    '--size',
    '67108864',
    '--tmpfs',
    '/dev/shm',
    '--remount-ro',
    '/dev',
    '--size',
    '1073741824',
    '--tmpfs',
    inside.tmp,
    ...toolchain.map(prefixOf).flatMap((folder) => ['--ro-bind-try', folder, folder]),
    '--ro-bind',
    tools.node,
    '/run/tri-agent/node',
    '--ro-bind',
    forwarder,
    '/run/tri-agent/forwarder.mjs',
    ...(gateway === null ? [] : ['--ro-bind', gateway.socket, '/run/tri-agent/gateway.sock']),
    '--bind',
    area.home,
    inside.home,
    '--bind',
    area.out,
    inside.out,
    box.readOnlyWork === true ? '--ro-bind' : '--bind',
    area.work,
    inside.work,
    ...box.mounts.flatMap(({ from, to, mode }) => [mode === 'ro' ? '--ro-bind' : '--bind', from, to]),
    '--remount-ro',
    '/',
    '--chdir',
    inside.work,
    ...Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]),
  ]
}

/** A toolchain folder is named by where its programs are; what they need lies beside it. */
const prefixOf = (folder: string): string => (folder.endsWith('/bin') ? dirname(folder) : folder)

async function writeEtc({ root }: Area): Promise<string> {
  const folder = join(root, 'etc')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await Promise.all(Object.entries(etcFiles).map(([name, text]) => writeFile(join(folder, name), text)))
  return folder
}

/** How long we look for survivors before we report them. */
const proofMs = 5000

async function kill(world: World, pid: number, exit: Promise<unknown>, end: () => void): Promise<KillReport> {
  const began = world.clock.mono()
  const own = pidNamespaceOf(process.pid)
  const namespaces = new Set(
    descendantsOf(pid)
      .map(pidNamespaceOf)
      .filter((each) => each !== null && each !== own),
  )
  end()
  await exit
  const left = () => [...namespaces].reduce((sum, namespace) => sum + inPidNamespace(namespace!).length, 0)
  let survivors = left()
  while (survivors > 0 && world.clock.mono() - began < proofMs) {
    await world.timer.sleep(5)
    survivors = left()
  }
  return { method: 'namespace', survivors, ms: Math.round(world.clock.mono() - began) }
}
