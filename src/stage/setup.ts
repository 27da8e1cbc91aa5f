/**
 * Set-up layers: a sandbox starts empty, so dependencies need a place. The repository's `setup:` commands are executed once per set of
 * `setupKey:` files, contained, and what they made is sealed and given copy-on-write to everything that follows: laid below a tree where the machine can,
 * else copied into it.
 *
 * The only step that reaches anything: package registries, through a proxy of ours. Where a tree's key files are those of the base or the target,
 * the layer is made of that commit, not of the tree: what a task wrote is not executed with the operator's credentials. Layers are a repository's own.
 */
import { createHash } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { lackingIn } from '../core/outside.ts'
import type { Sha } from '../git/git.ts'
import { makeArea, removeArea } from '../sandbox/area.ts'
import { applyLayer, layerManifest, pathsBelow, sealLayer } from '../sandbox/layer.ts'
import { findText } from '../sandbox/leak.ts'
import { layBelow } from '../sandbox/overlay.ts'
import type { Area } from '../sandbox/sandbox.ts'
import { contain } from './contain.ts'
import type { GateWork, Laid, Layers, OpenRegistries, StagePorts } from './stage.ts'

/** How long all set-up commands of a layer may take together. */
const setupMs = 15 * 60_000

/** What it takes to know which layer a tree has. */
type Ports = Pick<StagePorts, 'git' | 'layers'> & { sandbox: Pick<StagePorts['sandbox'], 'rung' | 'overlays'> }
type Tree = Pick<GateWork, 'repo' | 'repository' | 'toolchain'>

/** The files that say what a tree's set-up makes, as they stand in it. */
async function keyFiles({ git }: Ports, { repo, repository }: Tree, treeish: Sha): Promise<(string | null)[]> {
  const files = await git.readFiles(repo.stores, treeish, repository.setupKey)
  return repository.setupKey.map((path) => files.get(path) ?? null)
}

/** What a layer is made of, and the name it is kept under. */
type Origin = { from: Sha; isReviewed: boolean; name: string }

/**
 * The commit a layer is made of: one that was reviewed where it has the same key files, else the tree itself. Only the first kind is shared by all
 * trees with these files: scripts of what a task wrote may put anything into a layer, so that one serves the very same tree alone.
 */
export async function originOf(ports: Ports, work: Tree, treeish: Sha): Promise<Origin> {
  const { repo, repository, toolchain } = work
  const files = await keyFiles(ports, work, treeish)
  const lacking = lackingIn(await ports.git.outside(repo.stores, treeish))
  const sealed = ports.sandbox.overlays ? ['as made'] : []
  const nameOf = (of: Sha | null): string =>
    createHash('sha256')
      .update(
        // What was made without a submodule is made anew once that is there.
        JSON.stringify(
          [repo.id, repository.setup, repository.setupKey, files, toolchain, ports.sandbox.rung, of].concat(
            lacking,
            sealed,
          ),
        ),
      )
      .digest('hex')
      .slice(0, 32)
  for (const from of new Set([repo.base, repo.tip]))
    if (from === treeish || isDeepStrictEqual(await keyFiles(ports, work, from), files))
      return { from, isReviewed: true, name: nameOf(null) }
  return { from: treeish, isReviewed: false, name: nameOf(await ports.git.treeOf(repo.stores, treeish)) }
}

/** Copies what is sealed already into a tree that is made ahead; null where nothing is, or nothing is copied here. It never makes a layer. */
export async function layAhead(ports: Ports, work: Tree, treeish: Sha, into: string): Promise<Laid | null> {
  if (work.repository.setup.length === 0 || ports.sandbox.overlays) return null
  const { name } = await originOf(ports, work, treeish)
  const folder = ports.layers.find(name)
  return folder === null ? null : { layer: name, added: await applyLayer(folder, into) }
}

/**
 * Gives the tree of an area its dependencies, or answers why they could not be set up: the area as programs are to be started in, and the top-level paths that
 * were added. `laid`: what is there already; where that is not this tree's own, the tree is made `again` first.
 */
export async function setUp(
  ports: StagePorts,
  work: GateWork,
  treeish: Sha,
  area: Area,
  laid: (Laid & { again(): Promise<void> }) | null = null,
): Promise<{ area: Area; added: string[] } | { failed: string }> {
  const origin = work.repository.setup.length === 0 ? null : await originOf(ports, work, treeish)
  if (laid && laid.layer !== origin?.name) await laid.again()
  if (origin === null) return { area, added: [] }
  const layer = await ports.layers.get(origin.name, (folder) => makeLayer(ports, work, origin, folder))
  if ('failed' in layer) return layer
  if (laid?.layer === origin.name) return { area, added: laid.added }
  return ports.sandbox.overlays
    ? { area: await layBelow(area, layer.folder), added: await pathsBelow(layer.folder, area.work) }
    : { area, added: await applyLayer(layer.folder, area.work) }
}

async function makeLayer(
  ports: StagePorts,
  work: GateWork,
  { from, isReviewed }: Origin,
  into: string,
): Promise<string | null> {
  await using registries = await ports.registries.open({
    hosts: work.registries,
    repository: work.repo.name,
    trusted: isReviewed,
  })
  const area = await makeArea(join(work.folder, 'setup'))
  const { secrets } = registries
  try {
    await ports.git.checkout(work.repo.stores, from, area.work)
    const env = await furnish(ports, area, registries)
    for (const command of work.repository.setup) {
      work.onOutput('note', `set-up: ${command}`)
      const box = { area, argv: ['/bin/sh', '-c', command], env, stdin: null, mounts: [] }
      const { gateway } = registries
      const given = { ...work, secrets: [...work.secrets, ...secrets] }
      const ran = await contain(ports, given, { ...box, gateway, toolchain: work.toolchain }, setupMs)
      if (ran.stopped) return 'stopped'
      if (ran.code === 0) continue
      const how = ran.timedOut ? 'timed out' : `failed (exit ${ran.code ?? ran.signal})`
      const why = [ran.tail, ...hindrances(registries)].join('\n')
      return `set-up command "${command}" ${how}:\n${why}`
    }
    const leak = await findText(area.work, secrets)
    if (leak !== null) return `set-up left a credential of the operator's in ${leak}: nothing of it is kept`
    const tracked = new Set(await ports.git.listFiles(work.repo.stores, from))
    await sealLayer(area.work, tracked, into, ports.sandbox.overlays ? 'as made' : 'read-only')
    return null
  } finally {
    for (const each of registries.reached()) work.onOutput('note', reachedText(each))
    await removeArea(area)
  }
}

type Reached = ReturnType<OpenRegistries['reached']>[number]

const reachedText = ({ host, connections, bytesIn, bytesOut, denied }: Reached): string =>
  denied === null || connections > 0
    ? `set-up reached ${host}: ${connections} connections, ${bytesIn} bytes in, ${bytesOut} bytes out${denied === null ? '' : `; ${denied}`}`
    : `set-up did not reach ${host}: ${denied}`

/** What may be why it failed: hosts it was denied, credentials it was not given. */
function hindrances({ reached, withheld }: OpenRegistries): string[] {
  const denied = reached().filter((each) => each.denied !== null)
  return [
    ...denied.map((each) => `${reachedText(each)} (the operator's setup.hosts can allow a host)`),
    ...(withheld.length === 0
      ? []
      : [
          `not given, because this task changed the files of setupKey: ${withheld.join(', ')} (whenChanged in setup.credentials)`,
        ]),
  ]
}

/** Puts the operator's files into HOME and answers the environment of the set-up commands. */
async function furnish(ports: StagePorts, area: Area, registries: OpenRegistries): Promise<Record<string, string>> {
  const view = ports.sandbox.view(area, registries.gateway)
  const files = [...registries.files]
  if (!files.some(({ path }) => path === mavenSettings))
    files.push({ path: mavenSettings, text: mavenProxy(view.gatewayUrl), variables: [] })
  const named: Record<string, string> = {}
  for (const { path, text, variables } of files) {
    await mkdir(dirname(join(area.home, path)), { recursive: true, mode: 0o700 })
    await writeFile(join(area.home, path), text, { mode: 0o400 })
    for (const variable of variables) named[variable] = join(view.home, path)
  }
  return {
    HOME: view.home,
    TMPDIR: view.tmp,
    CI: 'true',
    ...proxyVariables(view.gatewayUrl),
    ...named,
    ...registries.env,
  }
}

/** How package managers are told of a proxy. Java listens to none of the usual names. */
function proxyVariables(url: string): Record<string, string> {
  const { hostname, port } = new URL(url)
  const java = ['http', 'https']
    .map((scheme) => `-D${scheme}.proxyHost=${hostname} -D${scheme}.proxyPort=${port}`)
    .join(' ')
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy', 'YARN_HTTP_PROXY', 'YARN_HTTPS_PROXY']
  return { ...Object.fromEntries(names.map((name) => [name, url])), NODE_USE_ENV_PROXY: '1', JAVA_TOOL_OPTIONS: java }
}

const mavenSettings = '.m2/settings.xml'

/** Maven reads its proxy from this file alone. */
function mavenProxy(url: string): string {
  const { hostname, port, username, password } = new URL(url)
  const user = username === '' ? '' : `<username>${username}</username><password>${password}</password>`
  const proxies = ['http', 'https'].map(
    (scheme) =>
      `<proxy><id>${scheme}</id><active>true</active><protocol>${scheme}</protocol><host>${hostname}</host><port>${port}</port>${user}</proxy>`,
  )
  return `<settings><proxies>${proxies.join('')}</proxies></settings>\n`
}

/** A file in a layer's folder: its time says when the layer was last given to anybody. */
export const usedMark = 'used'

/** Layers kept in a folder of the state. */
export function layersIn(folder: string): Layers {
  const making = new Map<string, Promise<string | null>>()
  const isWhole = (path: string) => existsSync(join(path, layerManifest))
  return {
    find: (key) => (isWhole(join(folder, key)) ? join(folder, key) : null),
    async get(key, make) {
      const path = join(folder, key)
      if (isWhole(path)) {
        writeFileSync(join(path, usedMark), '') // by its time the reaper sees when it was last given to anybody
        return { folder: path }
      }
      let made = making.get(key)
      if (!made) {
        made = mkdir(path, { recursive: true, mode: 0o700 }).then(() => make(path))
        making.set(key, made)
        void made.finally(() => making.delete(key)).catch(() => {}) // whoever awaits `made` hears of the failure
      }
      const failed = await made
      return failed === null ? { folder: path } : { failed }
    },
  }
}
