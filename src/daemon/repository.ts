/** What an attempt needs to know of its repository: our stores of it, the tips, and the settings as they stand on the *base* commit. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { hostsSaid, registriesOf, sayingsOf } from '../core/registry.ts'
import type { OperatorSettings, RepositorySettings } from '../core/setting.ts'
import { commandLines } from '../core/trust.ts'
import type { Git, RepoStores, Sha } from '../git/git.ts'
import { parseRepositoryConfig, tighten } from '../host/config.ts'
import { resolveToolchain } from '../host/detect.ts'
import type { Env } from '../host/path.ts'
import { capture } from '../host/process.ts'
import { pinFiles } from '../host/shim.ts'
import type { World } from '../host/world.ts'
import type { Work } from '../stage/stage.ts'
import type { RepoRow } from '../store/task.ts'

export type RepoContext = {
  repo: Work['repo']
  settings: RepositorySettings
  toolchain: string[]
  registries: string[]
  /** Names the commands and where set-up may go; a person agreed to these or to others. */
  commandsSha256: string
  isTrusted: boolean
}

/** The file of a repository that says how it is set up and tested. Read from the base commit, never from a work tree. */
export const repositoryFile = 'tri-agent.yaml'

export const storesOf = (repos: string, { id, path }: Pick<RepoRow, 'id' | 'path'>): RepoStores => ({
  source: path,
  mirror: join(repos, id, 'mirror.git'),
  quarantine: join(repos, id, 'quarantine.git'),
})

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Asks each program once, in the operator's environment: a mirror that is configured there is what set-up needs. One that cannot say is passed over. */
function registryAsker(world: World, env: Env) {
  const known = new Map<string, Promise<string[]>>()
  const ask = async ([file = '', ...args]: readonly string[]): Promise<string[]> => {
    const own = Object.fromEntries(['PATH', 'HOME'].flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
    const said = await capture(world.spawn, { file, args, cwd: env['HOME'] ?? '/', env: own }).catch(() => null)
    return said?.code === 0 ? hostsSaid(said.stdout) : []
  }
  return async (argv: readonly string[]): Promise<string[]> => {
    const name = argv.join(' ')
    if (!known.has(name)) known.set(name, ask(argv))
    return known.get(name)!
  }
}

/** The hosts its set-up asks, as its programs on this machine and its lockfiles on this commit say. */
async function registriesAt(
  git: Git,
  asked: (argv: readonly string[]) => Promise<string[]>,
  stores: RepoStores,
  commit: Sha,
  { setup, setupKey }: RepositorySettings,
): Promise<string[]> {
  if (setup.length === 0) return []
  const paths = [...new Set([...setupKey, '.npmrc', '.yarnrc.yml'])]
  const texts = await git.readFiles(stores, commit, paths)
  const files = paths.map((path) => ({ path, text: texts.get(path) ?? '' }))
  const usual = await Promise.all(sayingsOf(setup).map(asked))
  return registriesOf(usual.flat(), files)
}

/** Reads repositories afresh at each call; their settings are kept by base commit. */
export function repositoryReader(ports: {
  world: World
  git: Git
  settings: OperatorSettings
  repos: string
  env: Readonly<Record<string, string | undefined>>
}) {
  const known = new Map<string, Omit<RepoContext, 'repo' | 'isTrusted'>>()
  const ancestry = new Map<string, boolean>() // of two commits it never changes
  const isIn = async (stores: RepoStores, older: Sha, newer: Sha): Promise<boolean> => {
    const key = `${older} ${newer}`
    const found = ancestry.get(key) ?? (await ports.git.isAncestor(stores, older, newer))
    ancestry.set(key, found)
    return found
  }
  const asked = registryAsker(ports.world, ports.env)
  return async (row: RepoRow): Promise<RepoContext | Refusal> => {
    const { git, settings } = ports
    const stores = storesOf(ports.repos, row)
    const target = settings.landing.branch
    const tips = await git.refresh(stores, row.base, target)
    if (isRefusal(tips)) return tips
    // Where the base has all that landed, it is the newer of the two: a person merged and went on.
    const { base, target: landed } = tips
    const goesOn = landed !== null && landed !== base && !(await isIn(stores, landed, base))
    const repo = {
      id: row.id,
      name: row.name,
      stores,
      base: tips.base,
      tip: goesOn ? landed : base,
      target,
      targetTip: tips.target,
    }
    const cached = known.get(`${row.id} ${tips.base}`)
    if (cached) return { repo, ...cached, isTrusted: cached.commandsSha256 === row.trusted }
    // Its settings, and the files by which it says which version of a tool it wants.
    const files = await git.readFiles(stores, tips.base, [repositoryFile, ...pinFiles])
    const text = files.get(repositoryFile)
    if (text === undefined)
      return refuse(
        'not-configured',
        `${row.name}: ${repositoryFile} is not on ${row.base}`,
        `commit ${repositoryFile} (tri-agent init writes it)`,
      )
    const parsed = await parseRepositoryConfig(text, `${row.name}:${repositoryFile}`)
    if (isRefusal(parsed)) return parsed
    const tightened = tighten(settings, parsed)
    if (isRefusal(tightened)) return tightened
    const toolchain = resolveToolchain(parsed, ports.env, (path) => files.get(path) || null)
    const registries = await registriesAt(git, asked, stores, tips.base, parsed)
    const commandsSha256 = sha256(commandLines(parsed, registries).join('\n'))
    const read = { settings: parsed, toolchain, registries, commandsSha256 }
    known.set(`${row.id} ${tips.base}`, read)
    return { repo, ...read, isTrusted: commandsSha256 === row.trusted }
  }
}
