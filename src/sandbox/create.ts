/**
 * Which rung this machine can stand on, found by trying it: a real contained process that reaches a real socket, not a version number alone. A rung
 * below the lowest accepted one is refused, with what is missing and how to get it.
 */
import { accessSync, constants, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { arch, homedir, platform } from 'node:os'
import { basename, delimiter, dirname, join, relative } from 'node:path'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { isAtLeast, lowerRungs, type Rung } from '../core/rung.ts'
import type { Paths } from '../host/path.ts'
import { hasProc } from '../host/proc.ts'
import { capture } from '../host/process.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { makeArea, removeTree } from './area.ts'
import { findCgroupPlace } from './cgroup.ts'
import { type CompanionPlace, companionPlace, type Companionship, standOnCompanion } from './companion-probe.ts'
import { etcFiles, gatewayPort, insideNode, type NodePlace } from './bubblewrap.ts'
import { groupSandbox } from './group.ts'
import { namespaceSandbox, type NamespaceTools } from './namespace.ts'
import { layBelow } from './overlay.ts'
import type { Area, Sandbox, Witness } from './sandbox.ts'
import { textOf } from './finish.ts'
import { trySubreaper } from './subreaper.ts'
import { seccompFilter } from './seccomp.ts'

export type SandboxOptions = {
  /** The lowest rung accepted. */
  lowest: Rung
  /** PATH on which bubblewrap and, on the group rung, programs are found. */
  path: string
  /** Our own folder, for the files of /etc. */
  folder: string
  /** This rung and no other, where it works: a lower one than the machine's best, or its best or nothing. */
  rung?: Rung
  /** Tried where nothing better is there. */
  companion?: CompanionPlace | undefined
}

export type Probe = {
  rung: Rung
  available: Record<Rung, boolean>
  /** What keeps this machine from the rung namespace, or weakens the one it has: sentences with what to do. */
  reasons: string[]
  /** What keeps it from a still higher one; nothing is wrong with that. */
  above: string[]
  /** What the companion holds and loses, where it is what is stood on. */
  companion?: Pick<Companionship, 'holds' | 'loses'>
}

/** What these settings ask for. */
export const askedOf = (
  settings: Pick<OperatorSettings, 'rung' | 'companion'>,
  paths: Paths,
  path: string,
): SandboxOptions => ({
  lowest: settings.rung,
  path,
  folder: paths.stateFolder,
  companion: companionPlace(settings, paths),
})

/** The best sandbox this machine has, or the one asked for. `climbed`: what `climb` found for it. Refuses `rung-too-low`. */
export async function createSandbox(
  world: World,
  options: SandboxOptions,
  climbed: Promise<Climbed> = climb(world, options),
): Promise<Sandbox | Refusal> {
  const { stands, reasons, above } = await withCompanion(world, options, await climbed)
  const best = stands[0]!
  const asked = options.rung ?? best.rung
  const sandbox = stands.find(({ rung }) => rung === asked)
  if (sandbox && isAtLeast(sandbox.rung, options.lowest)) return sandbox
  return refuse(
    'rung-too-low',
    sandbox !== undefined && isAtLeast(best.rung, options.lowest)
      ? `the rung ${asked} was asked for, and ${options.lowest} is the lowest that is accepted`
      : isAtLeast(best.rung, 'namespace')
        ? `this machine stands on ${best.rung}, not on ${options.rung ?? options.lowest}: ${above.join('; ')}`
        : `this machine cannot hold an agent in a namespace: ${[...reasons, ...above].join('; ')}`,
    `mend that, or accept in your settings what is lost on a lower rung: ${lowerRungs()}`,
  )
}

/** The rung this machine stands on, and why not a higher one. Starts a contained process; about 0.1 s. */
export async function probe(
  world: World,
  options: Pick<SandboxOptions, 'path' | 'folder' | 'companion'>,
): Promise<Probe> {
  const { stands, reasons, above, companion } = await withCompanion(world, options, await climb(world, options))
  const has = (rung: Rung): boolean => stands.some((each) => each.rung === rung)
  return {
    rung: stands[0]!.rung,
    available: {
      cgroup: has('cgroup'),
      namespace: has('namespace'),
      companion: has('companion'),
      subreaper: has('subreaper'),
      group: has('group'),
    },
    reasons,
    above,
    ...(companion && { companion: { holds: companion.holds, loses: companion.loses } }),
  }
}

/** The same with the companion among them, where one is named, and nothing better is there or it was asked for. */
async function withCompanion(
  world: World,
  { companion: place, rung }: Pick<SandboxOptions, 'companion' | 'rung'>,
  climbed: Climbed,
): Promise<Climbed & { companion?: Companionship }> {
  const { stands, above } = climbed
  const isWanted = rung === undefined ? !isAtLeast(stands[0]!.rung, 'companion') : rung === 'companion'
  if (!isWanted || (place === undefined && rung === undefined)) return climbed
  const found = place ? await standOnCompanion(world, place) : { missing: 'the settings name none (companion:)' }
  if ('missing' in found) return { ...climbed, above: [...above, `no companion: ${found.missing}`] }
  const higher = stands.filter((each) => isAtLeast(each.rung, 'companion'))
  return { ...climbed, stands: [...higher, found.sandbox, ...stands.slice(higher.length)], companion: found }
}

/** How a namespace is entered: with the starter, or without where that does not work here. */
type Way = 'started' | 'forwarded'
type Place = ReturnType<typeof findCgroupPlace>

export type Climbed = {
  /** What this machine can stand on, the highest first; the last one always. */
  stands: readonly Sandbox[]
  reasons: string[]
  above: string[]
  way: Way
  /** Where nothing was tried: tries it, and answers why it does not hold. */
  prove?: (witness: Witness) => Promise<string | null>
}

/** The programs it takes, as they are found. */
export const toolsOn = (path: string) => ({
  prlimit: find('prlimit', `${path}${delimiter}/usr/bin`),
  bash: find('bash', `${path}${delimiter}/usr/bin${delimiter}/bin`),
  bwrap: find('bwrap', path),
  perl: find('perl', '/usr/bin'), // which is shown inside
  unshare: find('unshare', `${path}${delimiter}/usr/bin`),
  mount: find('mount', `${path}${delimiter}/usr/bin${delimiter}/bin`),
})

/** Tries what this machine can hold a program with. */
export async function climb(
  world: World,
  { path, folder, rung }: Pick<SandboxOptions, 'path' | 'folder' | 'rung'>,
  witness?: Witness,
): Promise<Climbed> {
  const { bwrap, bash, prlimit } = toolsOn(path)
  const group = groupSandbox(world, path, { bash, prlimit })
  const below = async (reasons: string[]): Promise<Climbed> => {
    const subreaper = groupSandbox(world, path, { bash, prlimit }, true)
    const failed = rung === 'group' ? 'it was not asked for' : await trySubreaper(subreaper)
    return {
      stands: failed === null ? [subreaper, group] : [group],
      reasons,
      above: failed === null ? [] : [`no subreaper: ${failed}`],
      way: 'started',
    }
  }
  if (rung === 'group' || rung === 'subreaper') return below([])
  const missing = await missingTool(world, bwrap, bash)
  if (missing !== null || bash === null) return below([missing ?? ''])
  const node = placeOfNode(process.execPath, homedir())
  const found = findCgroupPlace(folder)
  const places = 'missing' in found ? [found] : [found, { missing: 'a contained program cannot enter a cgroup here' }]
  let wrong = ''
  for (const place of places)
    for (const overlays of [true, false])
      for (const way of ['started', 'forwarded'] as const) {
        const climbed = await standAs(world, { path, folder }, way, place, overlays)
        if (climbed.stands[0]!.overlays !== overlays) continue // it takes programs that are not installed
        const caller = way === 'started' ? quickCaller(bash) : nodeCaller
        const failed = await tryOut(climbed.stands[0]!, { node, folder, caller }, witness)
        if (failed === null) return overlays ? climbed : { ...climbed, above: [...climbed.above, copies(wrong)] }
        wrong = failed
      }
  return below([wrong, ...hindrances(wrong)])
}

/** Nothing is wrong with copies but the time they take. */
const copies = (why: string): string =>
  `set-up layers are copied: ${why.startsWith(noOverlay) ? why : 'unshare or mount is not installed (apt-get install util-linux)'}`

/** The namespace rung entered in this way, and the one above it where there is a place for cgroups. Starts nothing; bubblewrap and bash are there. */
export async function standAs(
  world: World,
  { path, folder }: Pick<SandboxOptions, 'path' | 'folder'>,
  way: Way,
  place: Place,
  overlays: boolean,
): Promise<Climbed> {
  const { bwrap, bash, prlimit, perl, unshare, mount } = toolsOn(path)
  const tools: NamespaceTools = {
    bwrap: bwrap!,
    bash: bash!,
    prlimit,
    perl: way === 'started' ? perl : null,
    overlay: overlays && unshare !== null && mount !== null ? { unshare, mount } : null,
    filter: seccompFilter(arch()),
    node: placeOfNode(process.execPath, homedir()),
    etc: await writeEtc(folder),
  }
  const within = 'missing' in place ? [] : [namespaceSandbox(world, tools, place)]
  const above = 'missing' in place ? `no cgroup: ${place.missing}` : place.unlimited
  return {
    stands: [...within, namespaceSandbox(world, tools), groupSandbox(world, path, { bash, prlimit })],
    reasons: weaknesses(tools),
    above: above === null ? [] : [above],
    way,
  }
}

/** The first version with --disable-userns, without which a contained program could make namespaces of its own. */
const oldest = [0, 8]

async function missingTool(world: World, bwrap: string | null, bash: string | null): Promise<string | null> {
  if (platform() !== 'linux') return `namespaces are Linux's, and this is ${platform()}`
  if (bwrap === null) return 'bubblewrap is not installed: apt-get install bubblewrap, or dnf install bubblewrap'
  if (bash === null) return 'bash is not installed: apt-get install bash'
  const asked = await capture(world.spawn, { file: bwrap, args: ['--version'], cwd: '/', env: {} }).catch(systemError)
  if (typeof asked === 'string') return `${bwrap} cannot be started: ${asked}`
  const { stdout } = asked
  const [, major, minor] = /(\d+)\.(\d+)/.exec(stdout) ?? []
  if (major === undefined) return `${bwrap} does not tell its version: is it bubblewrap?`
  if (Number(major) > oldest[0]! || Number(minor) >= oldest[1]!) return null
  return `${stdout.trim()} is too old, ${oldest.join('.')} is the first that will do: install a newer bubblewrap`
}

/** What commonly forbids user namespaces, each with what to type: settings of the kernel (below `sys`), and what bubblewrap complains of in containers. */
export function hindrances(complaint = '', sys = '/proc/sys'): string[] {
  const settings = [
    ['kernel/unprivileged_userns_clone', '0', 'sysctl kernel.unprivileged_userns_clone=1'],
    ['kernel/apparmor_restrict_unprivileged_userns', '1', 'give bwrap an AppArmor profile that has userns'],
    ['user/max_user_namespaces', '0', 'sysctl user.max_user_namespaces=15000'],
  ] as const
  const bad = settings
    .filter(([file, value]) => existsSync(join(sys, file)) && readFileSync(join(sys, file), 'utf8').trim() === value)
    .map(([file, value, cure]) => `${file.replaceAll('/', '.')} is ${value}: ${cure}`)
  if (!hasProc()) bad.push('there is no /proc: mount -t proc proc /proc')
  else if (complaint.includes("Can't mount proc"))
    bad.push(
      'a container that masks its /proc: start it with --security-opt unmask=ALL (podman), systempaths=unconfined (docker)',
    )
  else if (bad.length === 0 && /No permissions to creat|Operation not permitted|Permission denied/.test(complaint))
    bad.push('where this is a container, its system-call filter forbids namespaces: start it with one that allows them')
  return bad
}

function weaknesses({ filter, prlimit }: NamespaceTools): string[] {
  return [
    ...(filter === null ? [`there is no system-call filter for ${arch()}: the namespace holds without one`] : []),
    ...(prlimit === null ? ['prlimit is not installed, so limits are not lowered: apt-get install util-linux'] : []),
  ]
}

/**
 * What of a Node must be shown: the folder it was installed as, when that is a Node's and nobody's home, because its libraries may lie in it;
 * otherwise its binary alone.
 */
export function placeOfNode(binary: string, home: string): NodePlace {
  const prefix = dirname(dirname(binary))
  const holdsHome = !relative(prefix, home).startsWith('..')
  const isNodes =
    basename(dirname(binary)) === 'bin' &&
    basename(binary) === 'node' &&
    ['include/node/node_version.h', 'lib/node_modules/npm/package.json'].some((file) => existsSync(join(prefix, file)))
  return { binary, prefix: isNodes && !holdsHome && !prefix.startsWith('/usr') ? prefix : null }
}

/** An executable file of this name on a PATH, or null. */
export function find(name: string, path: string): string | null {
  for (const folder of path.split(delimiter).filter((each) => each.startsWith('/')))
    try {
      accessSync(join(folder, name), constants.X_OK)
      return join(folder, name)
    } catch {
      continue // not in this folder
    }
  return null
}

/** Writes the files of /etc once for all boxes; each appears whole, because boxes of another process may be reading them. */
async function writeEtc(folder: string): Promise<string> {
  const etc = join(folder, 'sandbox-etc')
  await mkdir(etc, { recursive: true, mode: 0o700 })
  for (const [name, text] of Object.entries(etcFiles)) {
    const part = join(etc, `${name}.${process.pid}.part`)
    writeFileSync(part, text, { mode: 0o600 })
    renameSync(part, join(etc, name))
  }
  return etc
}

/** Longer than a loaded machine takes; should whoever looks be killed, what was started for it ends by itself. Seconds. */
const answerS = 30

/** Changes a file of the layer below, where there is one. */
const below = '[ ! -e below ] || printf tree >below || exit 1;'
/** Reaches the gateway's port and prints what comes. A shell starts ten times as fast as a Node, but not every shell can do it or is shown inside. */
const quickCaller = (bash: string): string[] => {
  const call = `${below} exec 3<>/dev/tcp/127.0.0.1/${gatewayPort} && { IFS= read -r -t ${answerS} -u 3 said; printf %s "$said"; }`
  return [bash, '-c', call]
}
const nodeCaller = [
  insideNode,
  '-e',
  `const { existsSync, writeFileSync } = require('fs')
if (existsSync('below')) writeFileSync('below', 'tree')
const call = require('net').connect(${gatewayPort}, '127.0.0.1')
call.pipe(process.stdout)
const late = setTimeout(() => process.exit(1), ${answerS * 1000})
call.on('close', () => clearTimeout(late))`,
]

/**
 * Starts a program the way agents are started, with a layer below its tree where that is to be tried, and lets it reach a socket the way agents reach the
 * gateway. Null, or why it did not work.
 */
async function tryOut(
  sandbox: Sandbox,
  { node: { binary }, folder, caller }: { node: NodePlace; folder: string; caller: readonly string[] },
  witness?: Witness,
): Promise<string | null> {
  const root = await makeTemporary('tri-probe')
  const layers = sandbox.overlays ? await makeTemporary('tri-probe', folder) : null // on the file system on which it will have to work
  const socket = join(root, 'gateway')
  const server = createServer((connection) => connection.end('ok'))
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, resolve)
    })
    const area = layers === null ? await makeArea(root) : await areaAbove(layers)
    await mkdir(area.work)
    const box = { area, argv: caller, env: {}, stdin: null, mounts: [], gateway: { socket, url: '' } }
    const contained = await sandbox.start(box, witness && ((outermost) => witness.born(outermost, area.root)))
    const [said, complained, { code }] = await Promise.all([
      textOf(contained.stdout),
      textOf(contained.stderr),
      contained.exit,
    ])
    const { survivors } = await contained.kill()
    if (survivors === 0) await witness?.over()
    if (survivors > 0) return 'a contained process outlived its namespace: that should not be possible on this kernel'
    if (code === 0 && said === 'ok' && (layers === null || (await isKept(layers, area)))) return null
    const why = complained.trim() || `exit ${code}`
    return layers === null
      ? `bubblewrap does not work here with ${binary}: ${why}`
      : `${noOverlay} in ${folder}: ${why}`
  } finally {
    server.close()
    await removeTree(root)
    if (layers !== null) await removeTree(layers)
  }
}

const noOverlay = 'an overlay does not work'

/** An area whose tree has a layer with one file below it. */
async function areaAbove(root: string): Promise<Area> {
  await mkdir(join(root, 'files'))
  await writeFile(join(root, 'files', 'below'), 'layer')
  return layBelow(await makeArea(join(root, 'area')), root)
}

/** What was changed is in the tree, and the layer is as it was. */
const isKept = async (root: string, { work }: Area): Promise<boolean> => {
  const texts = [join(root, 'files', 'below'), join(work, 'below')].map((file) =>
    readFile(file, 'utf8').catch(() => null),
  )
  return (await Promise.all(texts)).join(' ') === 'layer tree'
}

/** What the system answered, as a word for a sentence; a bug of ours is thrown on. */
function systemError(error: NodeJS.ErrnoException): string {
  if (error.code === undefined || error.syscall === undefined) throw error
  return `${error.code} (${error.syscall})`
}
