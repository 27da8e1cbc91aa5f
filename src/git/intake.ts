/**
 * Takes in what an attempt handed over: strictly checked in a folder of its own, judged, and only then moved into the quarantine store.
 *
 *     bundle ─read─▶ pack ─index-pack --strict─▶ incoming ─descends? policy?─▶ quarantine/objects/pack ─▶ refs/tri-agent/<name>
 *                                                    └────────── refused: removed, as if it had never been ──────────┘
 *
 * Other agents read the quarantine's objects, so nothing refused ever lies there. No file of the attempt's tree is opened, no ref of its own kept.
 */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isRefusal, type Refusal, refuse } from '../core/refusal.ts'
import { Fault } from '../host/fault.ts'
import { type Bundle, readBundle } from './bundle.ts'
import { countLines, describeEntry, type Entry, listEntries, showPath } from './change.ts'
import type { Command } from './command.ts'
import type { Candidate, RepoStores, Sha } from './git.ts'
import { findLarge } from './large-file.ts'
import { readLinks } from './link.ts'
import type { Ports } from './outside.ts'
import { judgeEntries, judgeLinks, linkMode } from './policy.ts'
import { judgeSecrets, newContents, sizesOf } from './secret.ts'
import { filterKnown } from './source.ts'
import { objectFolders, type Place } from './store.ts'

export type IntakeLimits = {
  /** Largest bundle. */
  bundleBytes: number
  /** Most entries that may differ from the base. */
  changes: number
  /** Most bytes of new file content, unpacked. */
  contentBytes: number
}

/** See the port. Refuses `no-bundle`, `too-large`, `unclean`, `policy`, `no-change`; throws Fault `git-…` when disk or git is broken. */
export async function takeIn(
  ports: Ports,
  limits: IntakeLimits,
  stores: RepoStores,
  path: string,
  base: Sha,
  name: string,
  secrets: readonly string[] = [],
): Promise<Candidate | Refusal> {
  const { world, command } = ports
  const bundle = await readBundle(path, limits.bundleBytes, base.length === 64 ? 'sha256' : 'sha1')
  if (isRefusal(bundle)) return bundle
  const incoming = join(stores.quarantine, `incoming-${world.secret(8)}`)
  await mkdir(join(incoming, 'pack'), { recursive: true })
  try {
    const place = { gitDir: stores.quarantine, borrow: objectFolders(stores), env: { GIT_OBJECT_DIRECTORY: incoming } }
    const candidate = await examine(ports, limits, place, bundle, base, secrets)
    if (isRefusal(candidate)) return candidate
    await keep(incoming, stores)
    await command.answer({
      gitDir: stores.quarantine,
      args: ['update-ref', `refs/tri-agent/${name}`, candidate.commit],
    })
    return candidate
  } finally {
    await rm(incoming, { recursive: true, force: true })
  }
}

async function examine(
  ports: Ports,
  limits: IntakeLimits,
  place: Place,
  bundle: Bundle,
  base: Sha,
  secrets: readonly string[],
): Promise<Candidate | Refusal> {
  const { command } = ports
  const known = await filterKnown(command, place, bundle.prerequisites)
  if (known.length < bundle.prerequisites.length)
    return refuse('unclean', 'the bundle builds on commits we do not have')
  const unpacked = await unpack(command, place, bundle.pack)
  if (unpacked !== null) return unpacked
  const descends = await checkDescent(command, place, base, bundle.tip)
  if (descends !== null) return descends
  const candidate = await describeCandidate(command, place, base, bundle.tip)
  if (isRefusal(candidate)) return candidate
  return (
    (await applyPolicy(ports, limits, place, { ...candidate, base, tip: bundle.tip, secrets })) ?? candidate.candidate
  )
}

/** What broken packs look like: git's complaint about its own disk or memory is a Fault instead. */
const ourOwnTrouble =
  /No space left|Disk quota|Read-only file system|Permission denied|unable to create|unable to write|Unhandled message id/i

const strictness = 'hasDotgit=error,hasDot=error,hasDotdot=error,emptyName=error,fullPathname=error,nullSha1=error'

async function unpack(command: Command, place: Place, pack: Buffer): Promise<Refusal | null> {
  const args = ['index-pack', `--strict=${strictness}`, '--stdin', '--fix-thin', `--max-input-size=${pack.length}`]
  const { code, stderr } = await command.answer({ ...place, args, stdin: pack, durable: true, accept: [0, 1, 128] })
  if (code === 0) return null
  if (ourOwnTrouble.test(stderr)) throw new Fault('git-failed', `git index-pack ended with ${code}: ${stderr}`)
  return refuse('unclean', `git refused the objects: ${stderr.split('\n').slice(0, 5).join('; ').slice(0, 500)}`)
}

async function checkDescent(command: Command, place: Place, base: Sha, tip: Sha): Promise<Refusal | null> {
  const type = await command.answer({ ...place, args: ['cat-file', '-t', tip], accept: [0, 128] })
  if (type.stdout.toString('utf8').trim() !== 'commit') return refuse('unclean', 'the bundle does not hold its commit')
  const { code } = await command.answer({ ...place, args: ['merge-base', '--is-ancestor', base, tip], accept: [0, 1] })
  return code === 0 ? null : refuse('unclean', 'the work does not descend from the commit the task started on')
}

/** What `tip` changes against `base`. Refuses `no-change`. */
export async function describeCandidate(
  command: Command,
  place: Place,
  base: Sha,
  tip: Sha,
): Promise<{ candidate: Candidate; entries: Entry[] } | Refusal> {
  const tree = await command.text({ ...place, args: ['rev-parse', '--verify', `${tip}^{tree}`] })
  const entries = await listEntries(command, place, base, tip)
  if (entries.length === 0) return refuse('no-change', 'the files are the same as before')
  const lines = await countLines(command, place, base, tip)
  return { candidate: { commit: tip, tree, base, changes: entries.map(describeEntry), ...lines }, entries }
}

async function applyPolicy(
  ports: Ports,
  limits: IntakeLimits,
  place: Place,
  { entries, base, tip, secrets }: { entries: Entry[]; base: Sha; tip: Sha; secrets: readonly string[] },
): Promise<Refusal | null> {
  const { command } = ports
  if (entries.length > limits.changes) {
    return refuse('policy', `${entries.length} files differ, more than ${limits.changes}`)
  }
  const bytes = await countContent(command, place, entries)
  if (bytes > limits.contentBytes)
    return refuse('policy', `${bytes} bytes of content, more than ${limits.contentBytes}`)
  const reasons = judgeEntries(entries)
  if (entries.some((entry) => entry.oldMode === linkMode || entry.newMode === linkMode)) {
    reasons.push(...judgeLinks(entries, await readLinks(command, place, base), await readLinks(command, place, tip)))
  }
  reasons.push(...(await judgePointers(ports, place, entries, base, tip)))
  reasons.push(...(await judgeSecrets(command, place, entries, secrets)))
  if (reasons.length === 0) return null
  const more = reasons.length > 10 ? ` and ${reasons.length - 10} more` : ''
  return refuse('policy', `${reasons.slice(0, 10).join('; ')}${more}`)
}

/** A content in the place of its pointer would be in the history for ever, which is what Git LFS is there to prevent. */
async function judgePointers(ports: Ports, place: Place, entries: Entry[], base: Sha, tip: Sha): Promise<string[]> {
  const before = new Set((await findLarge(ports, place, null, base)).map(({ path }) => path))
  if (before.size === 0) return []
  const after = new Set((await findLarge(ports, place, null, tip)).map(({ path }) => path))
  return entries
    .filter(({ letter, path }) => letter !== 'D' && before.has(path) && !after.has(path))
    .map(({ path }) => `${showPath(path)}: is in Git LFS, where no task can put a content`)
}

async function countContent(command: Command, place: Place, entries: Entry[]): Promise<number> {
  const sizes = await sizesOf(command, place, newContents(entries))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Moves the pack over; the index goes last, because a pack counts from the moment its index is there. */
async function keep(incoming: string, stores: RepoStores): Promise<void> {
  const names = await readdir(join(incoming, 'pack'))
  const ordered = names.toSorted((a, b) => Number(a.endsWith('.idx')) - Number(b.endsWith('.idx')))
  for (const name of ordered) {
    await rename(join(incoming, 'pack', name), join(stores.quarantine, 'objects', 'pack', name))
  }
}
