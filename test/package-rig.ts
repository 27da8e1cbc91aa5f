/** The package as a user gets it, for tests and benches: packed from a copy, installed without a network, with an environment of its own. */
import { cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { searchPath } from '../src/git/fixture.ts'
import { capture, type Captured } from '../src/host/process.ts'
import { realWorld } from '../src/host/world.ts'

const root = join(import.meta.dirname, '..')
const { spawn, clock } = realWorld()

/** Types a line in `cwd`, with a home below `scratch`. It must end well. */
export async function typeIn(scratch: string, cwd: string, file: string, ...args: string[]): Promise<Captured> {
  const env = { PATH: `${dirname(process.execPath)}:${searchPath}`, HOME: join(scratch, 'home'), LC_ALL: 'C' }
  await mkdir(env.HOME, { recursive: true })
  const ended = await capture(spawn, { file, args, cwd, env })
  if (ended.code !== 0) throw new Error(`${file} ${args.join(' ')}: ${ended.stdout}${ended.stderr}`)
  return ended
}

/** Packs into `scratch` and answers the tarball: from a copy, so that two of them never share dist/, and without npm's own scripts, because the build is made here. */
export async function packInto(scratch: string): Promise<string> {
  const source = join(scratch, 'source')
  await mkdir(source)
  for (const each of [
    'src',
    'sim',
    'tools/build.ts',
    'tools/bundle.ts',
    'package.json',
    'README.md',
    'LICENSE',
    '.npmrc',
  ])
    await cp(join(root, each), join(source, each), { recursive: true })
  await symlink(join(root, 'node_modules'), join(source, 'node_modules'))
  await typeIn(scratch, source, 'node', 'tools/build.ts')
  await typeIn(scratch, source, 'npm', 'pack', '--ignore-scripts', '--pack-destination', scratch)
  return join(
    scratch,
    (await readdir(scratch)).find((name) => name.endsWith('.tgz'))!,
  )
}

/** Installs a tarball into an empty folder, offline; answers the seconds it took. */
export async function installInto(scratch: string, folder: string, tarball: string): Promise<number> {
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), '{ "private": true }')
  const began = clock.mono()
  const words = ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', tarball]
  await typeIn(scratch, folder, 'npm', ...words)
  return (clock.mono() - began) / 1000
}
