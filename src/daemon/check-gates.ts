/**
 * doctor --gates: the repository's gates, once, on the commit tasks start from, contained like any other, and what to choose for those that are red
 * there: nothing a task does could ever turn a gate green that is red for reasons of its own.
 */
import { rm } from 'node:fs/promises'
import { lack, ok, warn, type Check } from '../core/check.ts'
import type { GateResult } from '../core/gate.ts'
import { isRefusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { createGit } from '../git/subprocess.ts'
import { makeFolders, type Env, type Paths } from '../host/path.ts'
import { makeTemporary } from '../host/temporary.ts'
import type { World } from '../host/world.ts'
import { askedOf, createSandbox } from '../sandbox/create.ts'
import { executeGates } from '../stage/gates.ts'
import { layersIn } from '../stage/setup.ts'
import type { StagePorts } from '../stage/stage.ts'
import type { RepoRow } from '../store/task.ts'
import { readCredentials, registriesFor } from './registries.ts'
import { repositoryFile, repositoryReader } from './repository.ts'

export type GatePorts = {
  world: World
  env: Env
  paths: Paths
  settings: OperatorSettings
  row: RepoRow
  note(text: string): void
}

/** A check per gate. */
export async function examineGates({ world, env, paths, settings, row, note }: GatePorts): Promise<Check[]> {
  const path = env['PATH'] ?? '/usr/bin:/bin'
  await makeFolders(paths)
  const sandbox = await createSandbox(world, askedOf(settings, paths, path))
  if (isRefusal(sandbox)) return [lack('gates on the base', sandbox.why, sandbox.hint ?? null)]
  const credentials = readCredentials(settings, env, paths.configFile)
  if (isRefusal(credentials)) return [lack('gates on the base', credentials.why, credentials.hint ?? null)]
  const git = createGit(world, { path, limits: { bundleBytes: settings.sizes.bundleBytes } })
  const context = await repositoryReader({ world, git, settings, repos: paths.repos, env })(row)
  if (isRefusal(context)) return [lack('gates on the base', context.why, context.hint ?? null)]
  const ports: StagePorts = {
    world,
    git,
    sandbox,
    settings,
    agent: () => null,
    layers: layersIn(paths.layers),
    pool: { take: () => Promise.resolve(null) },
    registries: registriesFor({ world, folder: paths.sockets, env, settings, credentials }),
  }
  const folder = await makeTemporary('tri-doctor', sandbox.place ?? paths.stateFolder)
  try {
    const { repo, toolchain, registries } = context
    const work = {
      repo: { ...repo, tip: repo.base },
      repository: context.settings,
      toolchain,
      registries,
      folder,
      signal: new AbortController().signal,
      secrets: credentials.flatMap((each) => each.secrets),
      onOutput: (stream: string, line: string) => (stream === 'note' ? note(line) : undefined),
      active: () => {},
      started: () => Promise.resolve(),
      ended: () => Promise.resolve(),
      cachedGates: () => Promise.resolve(null),
    }
    const done = await executeGates(ports, work, await git.treeOf(repo.stores, repo.base), repo.base)
    if ('failed' in done) return [lack('gates on the base', done.failed.trim(), `correct setup in ${repositoryFile}`)]
    return context.settings.gates.map(({ name, baseline }) =>
      judge(
        row.base,
        name,
        baseline,
        done.report.results.find((each) => each.name === name),
      ),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function judge(base: string, gate: string, baseline: 'block' | 'allow' | 'off', result: GateResult | undefined): Check {
  const name = `gate ${gate}`
  if (result === undefined) return warn(name, `off, so it was not executed`)
  const took = `${(result.ms / 1000).toFixed(1)} s`
  if (result.state === 'green') return ok(name, `green on ${base} in ${took}`)
  const last = result.tail.trim().split('\n').at(-1) ?? ''
  const found = `${result.state} on ${base} after ${took}${result.exitCode === null ? '' : ` (exit ${result.exitCode})`}${last === '' ? '' : `: ${last}`}`
  if (baseline === 'allow') return warn(name, `${found}; allowed there, so only what is newly red blocks`)
  return lack(
    name,
    found,
    `mend it on ${base}; or write under this gate in ${repositoryFile}:  baseline: allow  (what is red on ${base} does not block)  or  baseline: off  (never executed)`,
  )
}
