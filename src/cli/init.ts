/**
 * init: makes a repository ready. Says what was found and what is missing, writes the operator's settings and the repository's tri-agent.yaml where they
 * are missing, adds to them (after showing what) where they lack something, and makes the repository known. Starts nothing, may be repeated.
 *
 *     look at the repository ─▶ look for clients and keys ─▶ ask, at a terminal ─▶ write or show the difference ─▶ register ─▶ say it all
 */
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { registerRepository } from '../command/register.ts'
import type { Outside } from '../core/outside.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { loadConfig, parseRepositoryConfig } from '../host/config.ts'
import { detectRepository, examineToolchain, type Detected } from '../host/detect.ts'
import { makeFolders } from '../host/path.ts'
import { openDatabase } from '../store/database.ts'
import type { RepoRow } from '../store/task.ts'
import { answer, commandPorts, withEnvFile, type Act, type Context, type Said } from './context.ts'
import { familiesWithKey, operatorAdditions, operatorText, repositoryAdditions, repositoryText } from './init-file.ts'
import { asText, measure, type Found } from './init-report.ts'
import { bring, readText, writeSchemas, type Written } from './init-write.ts'

/** What is used of the look at a repository (git/inspect.ts). */
type Inspected = {
  top: string
  isBare: boolean
  base: string
  outside: Outside
  bytes: { tree: number; history: number }
  list(): readonly string[]
  read(path: string): string | null
}

export const init: Act = async (given, said) => {
  const context = await withEnvFile(given, said)
  if (isRefusal(context)) return context
  const { inspectRepository } = await import('../git/inspect.ts')
  const repository = await inspectRepository(context.world, {
    folder: resolve(context.cwd, said.args[0] ?? '.'),
    path: context.env['PATH'] ?? '/usr/bin:/bin',
    base: said.text('base') ?? null,
  })
  if (isRefusal(repository)) return repository
  const repositoryFile = join(repository.top, 'tri-agent.yaml')
  const wrong = await checkPresent(context, repositoryFile)
  if (wrong) return wrong
  const { surveyVendors } = await import('../daemon/survey.ts')
  const surveyed = await surveyVendors(context.world, context.env, context.paths.keys)
  const detected = await choose(context, said, repository, repositoryFile)
  if (isRefusal(detected)) return detected
  const files = await writeFiles(context, said, { repository, repositoryFile, detected, surveyed })
  if (isRefusal(files)) return files
  const row = await register(context, repository)
  if (isRefusal(row)) return row
  const tools = examineToolchain({ ...detected, setup: detected.setup, gates: [] }, context.env, repository.read)
  const committed = repository.read('tri-agent.yaml')
  const found: Found = {
    repository: { ...row },
    isBare: repository.isBare,
    outside: repository.outside,
    isCommitted: committed !== null && committed === (repository.isBare ? committed : await readText(repositoryFile)),
    files,
    families: surveyed,
    usable: await countUsable(context),
    detected: {
      ...detected,
      missing: [...detected.missing, ...tools.missing.map(({ name, why }) => `${name} ${why}`)],
    },
    toolchain: tools.folders,
    space: await measure(context, repository.bytes),
  }
  const { next, text } = asText(context, found)
  return answer(context, { ...found, next }, text)
}

/** What is proposed, and at a terminal what a person makes of it. Refuses `left` when they leave. */
async function choose(
  context: Context,
  said: Said,
  repository: Inspected,
  repositoryFile: string,
): Promise<(Detected & { day?: string }) | Refusal> {
  const detected = detectRepository(repository)
  const isFresh = (await readText(repositoryFile)) === null && !repository.isBare
  if (!asks(context, said)) return detected
  const { askAbout } = await import('./init-ask.ts')
  const isFirst = (await readText(context.paths.configFile)) === null
  return askAbout(
    { detected: isFresh ? detected : { ...detected, gates: [] }, isFirst, name: basename(repository.top) },
    detected,
  )
}

/** A person is there to be asked, and did not say yes to everything beforehand. */
const asks = ({ json, isTerminal }: Context, said: Said): boolean =>
  isTerminal && !json && process.stdin.isTTY && process.stdout.columns > 0 && said.flag('yes') !== true

type Seen = {
  repository: Inspected
  repositoryFile: string
  detected: Detected & { day?: string }
  surveyed: Found['families']
}

async function writeFiles(
  context: Context,
  said: Said,
  { repository, repositoryFile, detected, surveyed }: Seen,
): Promise<Written[] | Refusal> {
  const { configFile } = context.paths
  const families = familiesWithKey(surveyed)
  const usable = surveyed.filter(({ key, missing }) => key !== null && missing === null).length
  const how = { yes: said.flag('yes') === true, asks: asks(context, said) }
  await makeFolders(context.paths)
  await mkdir(dirname(configFile), { recursive: true, mode: 0o700 })
  const operators = {
    fresh: operatorText(families, { usable, ...(detected.day === undefined ? {} : { day: detected.day }) }),
    additions: operatorAdditions(families),
    mode: 0o600,
  }
  const repositorys = {
    fresh: repositoryText(detected),
    additions: repositoryAdditions(detected),
    mode: 0o644,
    anew: said.flag('force') === true,
  }
  const files = [await bring(context, how, configFile, operators)]
  if (!repository.isBare) files.push(await bring(context, how, repositoryFile, repositorys))
  await writeSchemas(dirname(configFile))
  const after = await checkPresent(context, repositoryFile)
  if (after) throw new Error(`init wrote a file that it cannot read: ${after.why}`)
  return files
}

async function register(context: Context, { top, base }: Inspected): Promise<RepoRow | Refusal> {
  const database = openDatabase(context.paths.database)
  try {
    const name = basename(top) === '.git' ? basename(dirname(top)) : basename(top)
    return await registerRepository(commandPorts(context, database), { path: top, name, base })
  } finally {
    database.close()
  }
}

/** Both files as they are now; a mistake in one is said before anything is changed. */
async function checkPresent({ paths, env }: Context, repositoryFile: string): Promise<Refusal | null> {
  const operator = await loadConfig({ file: paths.configFile, env })
  if (isRefusal(operator)) return operator
  const text = await readText(repositoryFile)
  const repository = text === null ? null : await parseRepositoryConfig(text, repositoryFile)
  return isRefusal(repository) ? repository : null
}

/** Families that could start now, of all that are configured. */
async function countUsable({ world, env, paths }: Context): Promise<string[]> {
  const loaded = await loadConfig({ file: paths.configFile, env })
  if (isRefusal(loaded)) throw new Error(loaded.why)
  const { findAgents } = await import('../daemon/agents.ts')
  // it starts nothing: an agent of a version nobody tested is tried by doctor and by up
  const untried = () => Promise.resolve({ failed: null })
  return [...(await findAgents(world, loaded.settings, env, paths.keys, untried)).agents.usable]
}
