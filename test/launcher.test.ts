/** How the command finds a Node: the installed program under one that is too old, and `./tri-agent` in a clone. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { searchPath } from '../src/git/fixture.ts'
import { capture, type Captured } from '../src/host/process.ts'
import { bundle, world } from './cli-rig.ts'

const root = join(import.meta.dirname, '..')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const built = await bundle()
let scratch = ''
before(async () => void (scratch = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-launcher-')))))
after(async () => {
  await built[Symbol.asyncDispose]()
  await rm(scratch, { recursive: true, force: true })
})

const type = (file: string, args: readonly string[], env: Record<string, string>): Promise<Captured> =>
  capture(world.spawn, { file, args, cwd: scratch, env })

/** A program of this text. */
async function program(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `#!/bin/sh\n${text}\n`)
  await chmod(path, 0o755)
  return path
}

/** This Node, made to say that it is an old one: so the test works on a machine that has no old one. */
const posing = [
  '--import',
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.1.0"}})',
]
const oldNodes = [
  { name: 'a Node that says it is 20.1', file: process.execPath, args: posing },
  ...['/usr/bin/node', '/usr/local/bin/node'].map((file) => ({ name: `the machine's ${file}`, file, args: [] })),
]

/** Where a real one stands, whether it is older than 24. */
async function isOld({ file, args }: (typeof oldNodes)[number]): Promise<boolean> {
  if (!existsSync(file)) return false
  const { stdout } = await type(file, [...args, '-p', 'process.versions.node'], { PATH: '' })
  return Number.parseInt(stdout, 10) < 24
}

for (const old of oldNodes)
  test(`${old.name}: the installed program starts itself again with the Node that nvm keeps`, async (t) => {
    if (!(await isOld(old))) return t.skip('it is not there, or not old')
    const home = join(scratch, `home-${old.args.length}`)
    await program(join(home, '.nvm/versions/node/v24.99.0/bin/node'), `exec '${process.execPath}' "$@"`)
    const env = { HOME: home, PATH: '/nowhere' }
    const asked = await type(old.file, [...old.args, built.program, '--version'], env)
    assert.deepEqual([asked.code, asked.stdout, asked.stderr], [0, `${version}\n`, ''])
    const refused = await type(old.file, [...old.args, built.program, 'list'], env)
    assert.deepEqual([refused.code, refused.stdout], [1, ''], 'arguments and exit code go through')
    assert.match(refused.stderr, /nothing is set up for this account/)
  })

test('without a newer Node anywhere, one sentence says how to get it', async () => {
  const [old] = oldNodes
  const env = { HOME: join(scratch, 'nobody'), PATH: '/nowhere', TRI_AGENT_INSTEAD_OF_NODE: '18.0.0' }
  const said = await type(old!.file, [...old!.args, built.program, 'list'], env)
  assert.deepEqual([said.code, said.stdout], [2, ''])
  assert.match(
    said.stderr,
    /^tri-agent needs Node 24 or newer, this is 20\.1\.0 .*: install one \(.*\) and try again\.\n$/,
  )
})

/** A clone with what the sources need installed. */
async function clone(name: string): Promise<string> {
  const folder = join(scratch, name)
  for (const each of [
    'src',
    'sim',
    'tools/with-node',
    'tools/build.ts',
    'package.json',
    'package-lock.json',
    'tri-agent',
  ])
    await cp(join(root, each), join(folder, each), { recursive: true })
  // a folder of its own: if the launcher ever took it for out of date, npm would empty it
  await mkdir(join(folder, 'node_modules'))
  await symlink(join(root, 'node_modules/commander'), join(folder, 'node_modules/commander'))
  await writeFile(join(folder, 'node_modules/.package-lock.json'), '{}')
  return folder
}

test('./tri-agent starts the sources, by a link from anywhere too, and hands PATH on as it was', async () => {
  const folder = await clone('clone')
  await symlink(join(folder, 'tri-agent'), join(scratch, 'linked'))
  const bin = dirname(await program(join(scratch, 'bin/node'), `exec '${process.execPath}' "$@"`))
  const env = { HOME: scratch, PATH: `${bin}:${searchPath}` }
  const direct = await type(join(folder, 'tri-agent'), ['--version'], env)
  assert.deepEqual([direct.code, direct.stdout, direct.stderr], [0, `${version}\n`, ''])
  const linked = await type(join(scratch, 'linked'), ['lst', '--json'], env)
  assert.deepEqual([linked.code, (JSON.parse(linked.stdout) as { refused: string }).refused], [2, 'unknown-verb'])
  await writeFile(join(folder, 'src/cli/main.ts'), 'console.log(process.env.PATH, process.argv.slice(2))\n')
  assert.equal((await type(join(folder, 'tri-agent'), ['a b'], env)).stdout, `${env.PATH} [ 'a b' ]\n`)
})

test('./tri-agent uses dist/ while it is newer than every source, and no longer', async () => {
  const folder = await clone('built')
  await mkdir(join(folder, 'dist'))
  await writeFile(join(folder, 'dist/main.js'), 'console.log("dist")\n')
  const bin = dirname(await program(join(scratch, 'bin/node'), `exec '${process.execPath}' "$@"`))
  const env = { HOME: scratch, PATH: `${bin}:${searchPath}` }
  await utimes(join(folder, 'dist/main.js'), 4e9, 4e9)
  assert.equal((await type(join(folder, 'tri-agent'), ['--version'], env)).stdout, 'dist\n')
  await utimes(join(folder, 'dist/main.js'), 1, 1)
  assert.equal((await type(join(folder, 'tri-agent'), ['--version'], env)).stdout, `${version}\n`)
})

test('./tri-agent where there is neither a fitting Node nor npm says in one sentence how to get it', async () => {
  const folder = await clone('bare')
  const tools = join(scratch, 'tools')
  for (const name of ['sh', 'dirname', 'find', 'head', 'readlink']) {
    const found = searchPath
      .split(':')
      .map((each) => join(each, name))
      .find((each) => existsSync(each))
    await program(join(tools, name), `exec '${found}' "$@"`)
  }
  await program(join(tools, 'node'), 'echo v20.20.2')
  const said = await type(join(folder, 'tri-agent'), ['--version'], { HOME: scratch, PATH: tools })
  assert.deepEqual([said.code, said.stdout], [1, ''])
  assert.match(said.stderr, /^with-node: .*Install Node 24 or newer .*\n$/)
})
