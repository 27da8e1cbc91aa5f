/**
 * The words that tell bubblewrap what a contained process sees: a read-only system, its own folders, its own /proc, /dev and /tmp, an environment
 * we wrote. Pure but for looking at how this system lays out /bin and /lib. It never binds a folder of the host writable but those of the box.
 */
import { lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Box } from './sandbox.ts'

export const gatewayPort = 8701
export const inside = { work: '/work', home: '/home/agent', out: '/out', tmp: '/tmp' } as const

/** Ours inside; not /opt/node, where a user's own Node may be. */
const own = '/run/tri-agent'
export const insideNode = `${own}/node/bin/node`
export const insideForwarder = `${own}/forwarder.mjs`
export const insideStarter = `${own}/starter.pl`
export const insideSocket = `${own}/gateway.sock`

/** `prefix` is the folder a Node was installed as, or null where only its binary may be shown. */
export type NodePlace = { binary: string; prefix: string | null }

export type View = { node: NodePlace; forwarder: string; starter: string; etc: string }

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
  '/etc/maven/m2.conf', // not its settings.xml: that one may hold a password
  '/etc/maven/logging',
]
/** Debian keeps half of a Java below /etc, and links to it: without that no Java starts. */
const javaFolders = (): string[] =>
  readdirSync('/etc')
    .filter((name) => /^java-\d+-/.test(name))
    .map((name) => `/etc/${name}`)
/** Links into /usr on most systems, folders of their own on some. */
const mergedFolders = ['/bin', '/sbin', '/lib', '/lib32', '/lib64']

/** What /etc holds inside. An empty resolver: there is no network to ask. */
export const etcFiles: Readonly<Record<string, string>> = {
  passwd: 'agent:x:1000:1000::/home/agent:/bin/sh\n',
  group: 'agent:x:1000:\n',
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'resolv.conf': '',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

/** All options of one box, without `--seccomp` and `--info-fd`, which name descriptors. */
export function bubblewrapOptions({ node, forwarder, starter, etc }: View, box: Box): string[] {
  const { area, gateway } = box
  const tools = (box.toolchain ?? []).map(placeOf)
  const bind = (mode: 'ro' | 'rw', from: string, to: string) => [mode === 'ro' ? '--ro-bind' : '--bind', from, to]
  return [
    ...words('--unshare-all --unshare-user --disable-userns --uid 1000 --gid 1000'),
    ...words('--die-with-parent --new-session --clearenv --cap-drop ALL --hostname agent'),
    ...[...systemFolders, ...javaFolders()].flatMap((folder) => ['--ro-bind-try', folder, folder]),
    ...mergedFolders.flatMap(asOnHost),
    ...Object.keys(etcFiles).flatMap((name) => bind('ro', join(etc, name), `/etc/${name}`)),
    ...words('--proc /proc --ro-bind /proc/sys /proc/sys'),
    ...words('--dev /dev --size 67108864 --tmpfs /dev/shm --remount-ro /dev'),
    ...words(`--size 1073741824 --tmpfs ${inside.tmp}`),
    ...tools.flatMap(({ from, to }) => ['--ro-bind-try', from, to]),
    ...bind('ro', node.prefix ?? node.binary, node.prefix === null ? insideNode : `${own}/node`),
    ...(gateway === null
      ? []
      : [
          ...bind('ro', forwarder, insideForwarder),
          ...bind('ro', starter, insideStarter),
          ...bind('ro', gateway.socket, insideSocket),
        ]),
    ...bind('rw', area.home, inside.home),
    ...bind('rw', area.out, inside.out),
    ...bind(box.readOnlyWork === true ? 'ro' : 'rw', area.work, inside.work),
    ...box.mounts.flatMap(({ from, to, mode }) => bind(mode, from, to)),
    ...words(`--remount-ro / --chdir ${inside.work}`),
    ...Object.entries(
      environmentOf(
        box,
        tools.map(({ path }) => path),
      ),
    ).flatMap(([name, value]) => ['--setenv', name, value]),
  ]
}

/** Options without a blank in them. */
const words = (text: string): string[] => text.split(' ')

/** The whole environment inside: the box's own words win. */
const environmentOf = ({ env }: Box, tools: readonly string[]): Record<string, string> => ({
  PATH: [...tools, dirname(insideNode), '/usr/local/bin', '/usr/bin', '/bin'].join(':'),
  HOME: inside.home,
  TMPDIR: inside.tmp,
  LANG: 'C.UTF-8',
  NO_PROXY: '127.0.0.1,localhost',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  ...env,
})

function asOnHost(folder: string): string[] {
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  if (!stat) return []
  return stat.isSymbolicLink() ? ['--symlink', readlinkSync(folder), folder] : ['--ro-bind', folder, folder]
}

/** Folders inside that hide what lies below them on the host. */
const covered = Object.values(inside).filter((folder) => folder !== inside.tmp)

/**
 * Where a toolchain folder is shown. `X/bin` is shown with all of X, because what programs need lies beside them; written `X/bin/`, it is shown
 * alone. A folder below one of ours (`/work/…`) cannot keep its path and gets one of our own.
 */
function placeOf(folder: string, index: number): { from: string; to: string; path: string } {
  const from = folder.endsWith('/bin') ? dirname(folder) : folder
  const isCovered = covered.some((each) => `${from}/`.startsWith(`${each}/`))
  const to = isCovered ? `${own}/tools/${index}` : from
  return { from, to, path: join(to, folder.slice(from.length)) }
}
