/** A newcomer's machine: an empty home, the programs of the system, a repository, and what they type. The vendors are a provider on loopback. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { install } from '../clients/install.ts'
import { startProvider, type Provider } from '../../sim/provider.ts'
import type { Rule } from '../../sim/scenario.ts'
import { scriptedProgram } from '../../src/daemon/scripted.ts'
import { environment } from '../../src/host/environment.ts'
import { findPaths } from '../../src/host/path.ts'
import { capture, type Captured } from '../../src/host/process.ts'
import { realWorld } from '../../src/host/world.ts'
import type { Ecosystem } from './ecosystem.ts'

export const root = join(import.meta.dirname, '../..')
export const world = realWorld()

export type Machine = AsyncDisposable & {
  home: string
  repository: string
  provider: Provider
  /** Types a line at a shell in the repository; stdin is what is pasted. Whatever the answer. */
  ask(line: string, stdin?: string): Promise<Captured>
  /** The same, where it must succeed; answers stdout. */
  type(line: string, stdin?: string): Promise<string>
  /** Rewrites the operator's settings so that each family is the scripted agent at the loopback provider: an upstream of one's own. */
  divert(): Promise<void>
}

/** Folders of programs as the system has them: none of this project's, none of anybody's home. */
function systemPath(extra: readonly string[]): string {
  const own = (environment()['PATH'] ?? '').split(delimiter).filter((folder) => !`${folder}/`.startsWith(`${root}/`))
  const node = own.find((folder) => existsSync(join(folder, 'node')) && existsSync(join(folder, 'npm')))
  return [...new Set([...extra, ...(node ? [node] : []), '/usr/local/bin', '/usr/bin', '/bin'])].join(delimiter)
}

const installed = await install(world, environment(), import.meta.dirname)
/** Programs that npm offers and Debian does not; null where no registry is reached. */
const toolFolder = 'folder' in installed ? join(installed.folder, 'node_modules/.bin') : null
const path = systemPath([root, ...(toolFolder ? [toolFolder] : [])])

/** The program of that name on the newcomer's PATH, or null. */
export const locateTool = (name: string): string | null =>
  path
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file)) ?? null

/** What the families' keys look like; nobody accepts them but the provider here. */
export const pasted: Readonly<Record<string, string>> = {
  anthropic: 'sk-ant-api03-nobody-accepts-this-key-0123456789abcdef',
  openai: 'sk-proj-nobodyAcceptsThisKey0123456789abcdefghij',
  google: 'AIzaSyNobodyAcceptsThisKey0123456789abc',
}

/** A machine with the ecosystem's repository, committed. `keys`: what the provider lets in, all without it. */
export async function machine(
  { files }: Pick<Ecosystem, 'files'>,
  rules: readonly Rule[],
  keys?: readonly string[],
): Promise<Machine> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'tri-new-')))
  const repository = join(home, 'durations')
  const provider = await startProvider({ world, scenario: { rules }, ...(keys === undefined ? {} : { keys }) })
  const env = { HOME: home, PATH: path, LANG: 'C.UTF-8', TZ: 'UTC' }
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(repository, path)), { recursive: true })
    await writeFile(join(repository, path), text)
  }
  const ask: Machine['ask'] = (line, stdin) =>
    capture(world.spawn, { file: '/bin/sh', args: ['-c', line], cwd: repository, env, stdin: stdin ?? null })
  const type: Machine['type'] = async (line, stdin) => {
    const { code, stdout, stderr } = await ask(line, stdin)
    if (code !== 0) throw new Error(`$ ${line}\nexit ${code}\n${stdout}${stderr}`)
    return stdout
  }
  await type('git init -q -b main && git config user.name Ada && git config user.email ada@localhost')
  await type('git add -A && git commit -q -m "Read durations"')
  return {
    home,
    repository,
    provider,
    ask,
    type,
    async divert() {
      const { configFile } = findPaths(env)
      const text = await readFile(configFile, 'utf8')
      const scripted = `agent: scripted\n    program: ${JSON.stringify(scriptedProgram())}\n    baseUrl: ${provider.url}`
      const diverted = text
        .replaceAll(/agent: (?:claude|codex|gemini)$/gm, scripted)
        .replace(/^money: \{ /m, '$&priceAge: 30000d, ') // the calendar fails nobody here
      await writeFile(configFile, `${diverted}http: { port: 0 }\n`)
    },
    async [Symbol.asyncDispose]() {
      await ask('tri-agent down')
      await provider[Symbol.asyncDispose]()
      await rm(home, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}
