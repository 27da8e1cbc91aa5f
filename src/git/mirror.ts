/**
 * Brings the base branch and the landing target of the user's repository into our mirror.
 *
 *     source ──pack-objects(base, target, ^what the mirror has)──▶ index-pack ──▶ mirror
 *
 * Objects come by pack and by ref, so other branches, stashes and dangling blobs never arrive. No transport is used: `upload-pack` would
 * start under the repository's own configuration, and refuse a repository of another owner.
 */
import { isRefusal, type Refusal, refuse } from '../core/refusal.ts'
import type { Command } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import { bringModules } from './module.ts'
import type { Ports } from './outside.ts'
import { filterKnown, openSource, readRefs, type Source } from './source.ts'
import { ensureStore, isStore, type Place, quarantinePlace, tidyStore } from './store.ts'

const baseRef = 'refs/tri-agent/base'
const targetRef = 'refs/tri-agent/target'

type Tips = { base: Sha; target: Sha | null }

/** What the last refresh of some stores found: where the branches are and stood. Whoever asks again soon is answered without a look at the mirror. */
export type Seen = Map<string, Tips & { gitDir: string }>

/**
 * Makes the stores and brings base and target up to date. Refuses `not-a-repository`, `shallow`, `no-base`, `partial`.
 * The target's tip is answered as it is, also when the base has moved past it.
 */
export async function refreshMirror(
  ports: Ports,
  seen: Seen,
  stores: RepoStores,
  base: string,
  target: string,
): Promise<Tips | Refusal> {
  const { world, command } = ports
  const wanted = [`refs/heads/${base}`, `refs/heads/${target}`]
  const key = JSON.stringify([stores, wanted])
  const last = seen.get(key)
  const [source, early] = await Promise.all([
    openSource(command, stores.source),
    last ? readRefs(command, last.gitDir, wanted).catch(() => null) : null, // the folder may be another repository by now
  ])
  if (isRefusal(source)) return source
  const isThere = early !== null && source.gitDir === last?.gitDir
  const [baseTip = null, targetTip = null] = isThere ? early : await readRefs(command, source.gitDir, wanted)
  if (baseTip === null) return await refuseBase(command, source, base)
  const stands = isThere && baseTip === last.base && targetTip === last.target
  if (!(stands && (await isStore(stores.mirror)) && (await isStore(stores.quarantine)))) {
    const refused = await follow(ports, stores, source, { base: baseTip, target: targetTip })
    if (refused !== null) return refused
    seen.set(key, { gitDir: source.gitDir, base: baseTip, target: targetTip })
  }
  await tidyStore(world, command, { gitDir: stores.mirror })
  await tidyStore(world, command, quarantinePlace(stores))
  return { base: baseTip, target: targetTip }
}

/** Brings the mirror to where the source's branches stand. */
async function follow(ports: Ports, stores: RepoStores, source: Source, tips: Tips): Promise<Refusal | null> {
  const { command } = ports
  await ensureStore(command, stores.mirror, source.format)
  await ensureStore(command, stores.quarantine, source.format)
  const [oldBase = null, oldTarget = null] = await readRefs(command, stores.mirror, [baseRef, targetRef])
  const refused = await bringIn(
    command,
    stores,
    source,
    present([tips.base, tips.target]),
    present([oldBase, oldTarget]),
  )
  if (refused !== null) return refused
  for (const tip of new Set(present([tips.base, tips.target])))
    if (tip !== oldBase && tip !== oldTarget) await bringModules(ports, stores, tip)
  if (oldBase !== tips.base) await point(command, stores.mirror, baseRef, tips.base)
  if (oldTarget !== tips.target) await point(command, stores.mirror, targetRef, tips.target)
  return null
}

const present = (tips: (Sha | null)[]): Sha[] => tips.filter((tip) => tip !== null)

async function bringIn(
  command: Command,
  stores: RepoStores,
  source: Source,
  tips: Sha[],
  known: Sha[],
): Promise<Refusal | null> {
  const wanted = tips.filter((tip) => !known.includes(tip))
  if (wanted.length === 0) return null
  await copyHistory(command, source.gitDir, { gitDir: stores.mirror }, wanted, known)
  const missing = await findMissing(command, stores, wanted)
  if (missing > 0) {
    const why = `${stores.source} is a partial clone and ${missing} objects of the base commit are not in it`
    return refuse('partial', why, 'git fetch --refetch --no-filter')
  }
  return null
}

/** Copies `wanted` with all history that `known` commits do not reach, in one streamed pack. */
export async function copyHistory(
  command: Command,
  from: string,
  to: Place,
  wanted: readonly Sha[],
  known: readonly Sha[],
): Promise<void> {
  const shared = await filterKnown(command, { gitDir: from }, known)
  const revisions = [...wanted, ...shared.map((id) => `^${id}`)].map((line) => `${line}\n`).join('')
  // allow-promisor: what a partial clone never downloaded stays away, instead of being fetched with the user's configuration.
  const pack = [
    'pack-objects',
    '--quiet',
    '--revs',
    '--stdout',
    '--thin',
    '--delta-base-offset',
    '--missing=allow-promisor',
  ]
  await command.pipe(
    { gitDir: from, args: pack, stdin: revisions },
    { ...to, args: ['index-pack', '--stdin', '--fix-thin'], durable: true },
  )
}

/** Counts objects of the tips' own trees that did not arrive: only a partial clone can leave any. */
async function findMissing(command: Command, stores: RepoStores, tips: Sha[]): Promise<number> {
  const args = ['rev-list', '--objects', '--no-walk', '--missing=print', '--stdin']
  const stdin = tips.map((tip) => `${tip}\n`).join('')
  const printed = await command.text({ gitDir: stores.mirror, args, stdin })
  return printed.split('\n').filter((line) => line.startsWith('?')).length
}

async function point(command: Command, gitDir: string, ref: string, tip: Sha | null): Promise<void> {
  const args = tip === null ? ['update-ref', '-d', ref] : ['update-ref', ref, tip]
  await command.answer({ gitDir, args })
}

async function refuseBase(command: Command, source: Source, base: string): Promise<Refusal> {
  const args = ['for-each-ref', '--count=5', '--sort=-committerdate', '--format=%(refname:strip=2)', 'refs/heads']
  const branches = (await command.text({ gitDir: source.gitDir, args })).split('\n').filter((name) => name !== '')
  if (branches.length === 0) {
    return refuse('no-base', 'the repository has no commit yet', 'git commit --allow-empty -m "Start"')
  }
  return refuse('no-base', `there is no branch ${base}`, `set base to one of: ${branches.join(', ')}`)
}
