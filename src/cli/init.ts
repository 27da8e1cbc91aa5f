/**
 * init: makes a repository ready. Writes the operator's settings and the repository's tri-agent.yaml where they are missing, adds to them (after
 * showing what) where they lack something, and makes the repository known. Starts nothing, removes nothing, may be repeated.
 */
import { chmod, mkdir, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { registerRepository } from '../command/register.ts'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { loadConfig, parseRepositoryConfig } from '../host/config.ts'
import { detectRepository, examineToolchain } from '../host/detect.ts'
import { isStored } from '../host/key-store.ts'
import { makeFolders } from '../host/path.ts'
import { openDatabase } from '../store/database.ts'
import { answer, commandPorts, withEnvFile, type Act, type Context } from './context.ts'
import { wrap } from './format.ts'
import {
  familiesWithKey,
  keyVariables,
  operatorAdditions,
  operatorText,
  repositoryAdditions,
  repositoryText,
} from './init-file.ts'
import { lineDiff } from './line-diff.ts'
import type { Addition } from '../host/yaml-edit.ts'

type Written = { path: string; action: 'written' | 'changed' | 'kept' | 'unchanged' }

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
  const yes = said.flag('yes') === true
  const { configFile } = context.paths
  const families = familiesWithKey(context.env, (family) => isStored(context.paths.keys, family))
  const detected = detectRepository(repository)
  const repositoryFile = join(repository.top, 'tri-agent.yaml')
  await makeFolders(context.paths)
  await mkdir(dirname(configFile), { recursive: true, mode: 0o700 })

  const wrong = await checkPresent(context, repositoryFile)
  if (wrong) return wrong
  const files = [
    await bring(context, yes, configFile, operatorText(families), operatorAdditions(families), 0o600),
    await bring(context, yes, repositoryFile, repositoryText(detected), repositoryAdditions(detected), 0o644),
  ]
  const after = await checkPresent(context, repositoryFile)
  if (after) throw new Error(`init wrote a file that it cannot read: ${after.why}`)

  const name = basename(repository.top)
  const database = openDatabase(context.paths.database)
  try {
    const row = await registerRepository(commandPorts(context, database), {
      path: repository.top,
      name,
      base: repository.base,
    })
    if (isRefusal(row)) return row
    const tools = examineToolchain({ toolchain: detected.toolchain, setup: detected.setup, gates: [] }, context.env)
    const missing = [...detected.missing, ...tools.missing.map((tool) => `${tool.name} ${tool.why}`)]
    const isCommitted = repository.read('tri-agent.yaml') === (await readText(repositoryFile))
    const isKept = files.some(({ action }) => action === 'kept')
    const next = nextSteps(context, { isKept, isCommitted, families: families.length, base: repository.base })
    return answer(
      context,
      { repository: { ...row }, files, families, detected: { ...detected, missing }, next },
      [
        `${name} is known, work starts from ${repository.base}.`,
        ...files.map(({ path, action }) => `  ${action.padEnd(9)}  ${path}`),
        families.length > 0
          ? `Families with a key: ${families.map(({ family, model }) => `${family} (${model})`).join(', ')}.${reviewNote(families.length)}`
          : `No key is kept and no variable of one is set (${keyVariables().join(', ')}): keep at least one, better two or three, then tri-agent init again.`,
        ...missing.map((each) => wrap(`! ${each}`, context.columns)),
        'Type next:',
        ...next.map((each) => `  ${each}`),
      ].join('\n'),
    )
  } finally {
    database.close()
  }
}

/** What fewer than three families mean, said before the first task waits for it (core/review.ts has the rule). */
function reviewNote(families: number): string {
  if (families >= 3) return ''
  return families === 2
    ? ' With two, one reviews the other and a person approves each landing.'
    : ' With one, nobody else can review: its advice never counts and a person approves each landing.'
}

function nextSteps(
  { paths }: Context,
  { isKept, isCommitted, families, base }: { isKept: boolean; isCommitted: boolean; families: number; base: string },
): string[] {
  return [
    ...(isKept ? ['tri-agent init --yes   # makes the changes shown above'] : []),
    ...(isCommitted
      ? []
      : [`git add tri-agent.yaml && git commit -m "Say how to test this"   # on ${base}, after a look at it`]),
    ...(families > 0 ? [] : [`tri-agent keys set anthropic   # or families in ${paths.configFile}`, 'tri-agent init']),
    'tri-agent up --detach',
    'tri-agent add "what you want"',
  ]
}

/** Both files as they are now; a mistake in one is said before anything is changed. */
async function checkPresent({ paths, env }: Context, repositoryFile: string): Promise<Refusal | null> {
  const operator = await loadConfig({ file: paths.configFile, env })
  if (isRefusal(operator)) return operator
  const text = await readText(repositoryFile)
  const repository = text === null ? null : await parseRepositoryConfig(text, repositoryFile)
  return isRefusal(repository) ? repository : null
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Writes a file that is not there; adds to one that is, after showing what and being told to. */
async function bring(
  context: Context,
  yes: boolean,
  path: string,
  fresh: string,
  additions: readonly Addition[],
  mode: number,
): Promise<Written> {
  const present = await readText(path)
  if (present === null) {
    await writeWhole(path, fresh, mode)
    return { path, action: 'written' }
  }
  const { addMissing } = await import('../host/yaml-edit.ts')
  const wanted = addMissing(present, additions)
  if (wanted === present) return { path, action: 'unchanged' }
  context.note(
    `${path} lacks something; this would be changed:\n${lineDiff(present, wanted)
      .map((line) => `  ${line}\n`)
      .join('')}`,
  )
  if (!yes && !(await agrees(context))) return { path, action: 'kept' }
  await writeWhole(path, wanted, null)
  return { path, action: 'changed' }
}

/** Asks a person at a terminal; where there is none nothing is changed, and it is said how to say yes. */
async function agrees({ json, isTerminal, note }: Context): Promise<boolean> {
  if (json || !isTerminal || !process.stdin.isTTY) {
    note('Left as it is; --yes changes it.\n')
    return false
  }
  const { createInterface } = await import('node:readline/promises')
  const asking = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await asking.question('Change it? [y/N] ')).trim())
  } finally {
    asking.close()
  }
}

/** Whole or not at all: a new file beside it is renamed over it. `mode` null keeps the mode; a link to the file stays a link. */
async function writeWhole(path: string, text: string, mode: number | null): Promise<void> {
  const target = mode === null ? await realpath(path) : path
  const beside = `${target}.new`
  await writeFile(beside, text, { mode: 0o600 })
  await chmod(beside, mode ?? (await stat(target)).mode & 0o777)
  await rename(beside, target)
}
