/** A person at a shell, for tests: a home of their own, a repository, and the real program as a child process. Inherits nothing but where programs are. */
import { copyFile, mkdtemp, mkdir, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { environment } from '../src/host/environment.ts'
import { findPaths, type Paths } from '../src/host/path.ts'
import { capture } from '../src/host/process.ts'
import { realWorld } from '../src/host/world.ts'
import { openDatabase, type Database } from '../src/store/database.ts'

export type Typed = { code: number | null; stdout: string; stderr: string }

export type Person = AsyncDisposable & {
  home: string
  /** Where its programs are. */
  path: string
  repository: string
  paths: Paths
  /** Types a line. A last argument that is an object says where, and what stdin holds. */
  type(
    args: readonly string[],
    how?: { cwd?: string; stdin?: string | Uint8Array; env?: Record<string, string> },
  ): Promise<Typed>
  /** The same, read as JSON. */
  json(args: readonly string[]): Promise<Record<string, unknown>>
  git(...args: string[]): Promise<void>
  write(path: string, text: string): Promise<void>
  withDatabase<T>(body: (database: Database) => Promise<T>): Promise<T>
  /** Text with everything that differs between two executions named instead. */
  still(text: string): string
}

export const world = realWorld()
const path = environment()['PATH'] ?? '/usr/bin:/bin'

/** Where test/setup.ts says that it has built for all of them. */
export const bundleVariable = 'TRI_AGENT_TEST_BUNDLE'

/** What users get: it starts three times as fast as the source, and a test of it is a test of the bundle. Built here where a test file is started alone. */
export async function bundle(): Promise<{ program: string } & AsyncDisposable> {
  const program = environment()[bundleVariable]
  return program === undefined ? await build() : { program, [Symbol.asyncDispose]: () => Promise.resolve() }
}

export async function build(): Promise<{ program: string } & AsyncDisposable> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-bundle-')))
  const root = join(import.meta.dirname, '..')
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'))
  const args = [join(root, 'tools/build.ts'), join(folder, 'dist')]
  const done = await capture(world.spawn, { file: process.execPath, args, cwd: root, env: { PATH: path } })
  if (done.code !== 0) throw new Error(`the bundle cannot be built: ${done.stderr}`)
  return {
    program: join(folder, 'dist/main.js'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Makes a home and a committed repository in it. `program`: the file to start. */
export async function person(program: string): Promise<Person> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-cli-')))
  const repository = join(home, 'shop')
  const env = { HOME: home, PATH: path, TZ: 'UTC', LANG: 'C.UTF-8' }
  const paths = findPaths(env)
  const git = async (...args: string[]) => {
    const own = {
      ...env,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@localhost',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@localhost',
    }
    const done = await capture(world.spawn, { file: 'git', args, cwd: repository, env: own })
    if (done.code !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`)
  }
  const write = async (name: string, text: string) => {
    await mkdir(dirname(join(repository, name)), { recursive: true })
    await writeFile(join(repository, name), text)
  }
  const type: Person['type'] = async (args, how = {}) => {
    const { code, stdout, stderr } = await capture(world.spawn, {
      file: process.execPath,
      args: [program, ...args],
      cwd: how.cwd ?? repository,
      env: { ...env, ...how.env },
      stdin: how.stdin ?? null,
    })
    return { code, stdout, stderr }
  }
  await write('package.json', '{ "name": "shop", "scripts": { "test": "node --test" } }\n')
  await git('init', '--quiet', '--initial-branch', 'main')
  await git('add', '--all')
  await git('commit', '--quiet', '--message', 'Open the shop')
  const names = new Map<string, string>()
  return {
    home,
    path,
    repository,
    paths,
    type,
    json: async (args) => JSON.parse((await type([...args, '--json'])).stdout) as Record<string, unknown>,
    git,
    write,
    async withDatabase(body) {
      const database = openDatabase(paths.database)
      try {
        return await body(database)
      } finally {
        database.close()
      }
    },
    still: (text) =>
      text
        .replaceAll(home, '~')
        .replaceAll(/\b(task|repo|att)_[0-9a-z]{8}\b/g, (id, kind: string) => {
          if (!names.has(id))
            names.set(id, `${kind}_${[...names.values()].filter((name) => name.startsWith(kind)).length + 1}`)
          return names.get(id)!
        })
        .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'WHEN')
        .replaceAll(/\[[^\]\n]+\]$/gm, '[me]'),
    [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }),
  }
}
