/**
 * Where an agent's program is on this machine: what must be mounted, and what is started in it.
 *
 *     the program ─▶ its npm package, or the one for this platform beside it ─▶ that package's folder
 *                 ─▶ a program that stands alone ─▶ the file itself
 *                 ─▶ a script of somebody's version switcher ─▶ refused: what it would start is not known
 *
 * Starts nothing where a package tells its version. Layouts are those of facts §1 (agents) and §3 (sandbox).
 */
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { capture } from '../host/process.ts'
import { programVersion } from '../host/version.ts'
import type { World } from '../host/world.ts'
import type { AgentAdapter } from './agent.ts'
import { keptVersions, type AskVersion } from './kept-version.ts'
import { thisMachine, type Machine } from './machine.ts'

/** `argv` has host paths; those below `folder` move with it when it is mounted elsewhere. `node` stands for the sandbox's own Node. */
export type Located = { folder: string; argv: string[]; version: string }

type Found = Omit<Located, 'version'> & { version: string | null }

/**
 * Finds the program of an adapter: `program` (an argv from the settings: a path, a command, or node and a script) or, where it is null, the adapter's
 * own command on `path`. Refuses `agent-missing` with how to get it, `agent-unclear` where what a script starts is not known, `agent-broken`. `versions`: the
 * file of what programs told of themselves; without it one is asked each time.
 */
export async function locate(
  world: World,
  adapter: AgentAdapter,
  program: readonly string[] | null,
  path: string,
  machine: Machine = thisMachine(),
  versions?: string,
): Promise<Located | Refusal> {
  const { command, install } = adapter.program
  const words = program ?? [command]
  const own = /^node(\.exe)?$/.test(basename(words[0] ?? '')) && words.length > 1 ? words.slice(1) : words
  const [named = '', ...rest] = own
  const file = isAbsolute(named) ? named : onPath(machine, named, path)
  const real = file === null ? null : machine.realPath(file)
  if (file === null || real === null) return refuse('agent-missing', `${named || command} was not found`, install)
  if (adapter.name === 'scripted')
    return { folder: dirname(real), argv: ['node', real, ...rest], version: programVersion() }
  const found = inPackage(machine, adapter.name, real) ?? alone(machine, real)
  if (isRefusal(found)) return found
  const ask: AskVersion = (argv) => askVersion(world, argv, path)
  const version = found.version ?? (await (versions === undefined ? ask : keptVersions(versions, ask))(found.argv))
  if (version === null)
    return refuse('agent-broken', `${real} does not tell its version when asked with --version`, install)
  return { folder: found.folder, argv: [...found.argv, ...rest], version }
}

/** The argv as it is when `folder` is mounted at `mountedAt`, and `node` is the sandbox's. A program that stands alone is mounted as a file. */
export const insideArgv = (
  { folder, argv }: Pick<Located, 'folder'> & { argv: readonly string[] },
  mountedAt: string,
  node: string,
): string[] =>
  argv.map((word, index) =>
    word === folder || word.startsWith(`${folder}/`)
      ? join(mountedAt, word.slice(folder.length))
      : index === 0 && word === 'node'
        ? node
        : word,
  )

const onPath = (machine: Machine, name: string, path: string): string | null =>
  name === '' || name.includes('/')
    ? null
    : (path
        .split(delimiter)
        .filter(isAbsolute)
        .map((folder) => join(folder, name))
        .find((file) => machine.isProgram(file)) ?? null)

type VendorName = Exclude<AgentAdapter['name'], 'scripted'>

/** A package, and where in it the program is: first that exists. `*` is any one folder. */
type Layout = { name: string; programs: readonly string[]; withNode?: boolean }

/** The packages that hold a client's program, best first. */
function layoutsOf(machine: Machine, adapter: VendorName): Layout[] {
  const { os, cpu } = machine
  switch (adapter) {
    case 'claude':
      return [
        ...['', '-musl'].map((libc) => ({
          name: `@anthropic-ai/claude-code-${os}-${cpu}${libc}`,
          programs: ['claude'],
        })),
        { name: '@anthropic-ai/claude-code', programs: ['cli.js'], withNode: true },
      ]
    case 'codex':
      return [`@openai/codex-${os}-${cpu}`, '@openai/codex'].map((name) => ({
        name,
        programs: ['vendor/*/bin/codex', 'vendor/*/codex/codex'],
      }))
    case 'gemini':
      return [{ name: '@google/gemini-cli', programs: ['bundle/gemini.js', 'dist/index.js'], withNode: true }]
    case 'opencode': {
      const plain = `opencode-${os}-${cpu}`
      // Both builds may be installed; the plain one needs AVX2.
      const names = machine.hasAvx2() ? [plain, `${plain}-baseline`] : [`${plain}-baseline`, plain]
      return [...names, `${plain}-musl`].map((name) => ({ name, programs: ['bin/opencode'] }))
    }
  }
}

/** Looks in the packages around a path: in every folder above it, and in the node_modules beside them. */
function inPackage(machine: Machine, adapter: VendorName, path: string): Found | null {
  const folders = foldersAbove(path)
  for (const { name, programs, withNode = false } of layoutsOf(machine, adapter))
    for (const above of folders) {
      const root = join(above, ...(basename(above) === 'node_modules' ? [] : ['node_modules']), name)
      const version = versionIn(machine, root)
      const program = version === null ? undefined : programs.flatMap((each) => expand(machine, root, each))[0]
      if (program === undefined) continue
      // A package that only wraps: its vendor folder is all that is started, and all that is mounted.
      const [, vendored] = /^(.*\/vendor\/[^/]+)\//.exec(program) ?? []
      return { folder: vendored ?? root, argv: withNode ? ['node', program] : [program], version }
    }
  return null
}

function foldersAbove(path: string): string[] {
  const above = dirname(path)
  return above === path ? [] : [above, ...foldersAbove(above)]
}

function expand(machine: Machine, root: string, pattern: string): string[] {
  const [before = '', after] = pattern.split('*')
  if (after === undefined) return [join(root, pattern)].filter(machine.isFile)
  return machine
    .list(join(root, before))
    .map((name) => join(root, before, `${name}${after}`))
    .filter(machine.isFile)
}

/** Codex's platform packages are called 0.169.0-linux-x64: only the numbers are a version. */
function versionIn(machine: Machine, root: string): string | null {
  const described = machine.readText(join(root, 'package.json'))
  return /"version"\s*:\s*"(\d+\.\d+\.\d+)/.exec(described ?? '')?.[1] ?? null
}

/** A program that is no npm package: the vendor's installer, a distribution's package. */
function alone(machine: Machine, real: string): Found | Refusal {
  if (machine.readText(real, 2) === '#!')
    return refuse(
      'agent-unclear',
      `${real} is a script, and what it starts cannot be told from it`,
      'name the program itself in your settings (families: <family>: program: [/path/to/it])',
    )
  const above = dirname(dirname(real))
  // codex brings its tools in a folder beside bin.
  if (basename(dirname(real)) === 'bin' && machine.isFile(join(above, 'codex-package.json')))
    return { folder: above, argv: [real], version: null }
  return { folder: real, argv: [real], version: null }
}

const versionBytes = 64 * 1024
const versionMs = 10_000 // the slowest client was seen to need five seconds

/** Asks a program itself, with nothing of ours in its environment. Null: it could not be started, did not end, or told none. */
async function askVersion(world: World, argv: readonly string[], path: string): Promise<string | null> {
  const [file = '', ...args] = argv
  const env = { PATH: path, HOME: '/nonexistent', LANG: 'C.UTF-8' }
  try {
    const { stdout } = await capture(
      async (spec) => {
        const child = await world.spawn(spec)
        const cancel = world.timer.after(versionMs, () => child.signal('SIGKILL'))
        void child.exit.then(cancel)
        return child
      },
      { file, args: [...args, '--version'], cwd: '/', env },
      versionBytes,
    )
    return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? null
  } catch {
    return null // the refusal says so
  }
}
