/** What a user gets: the packed tarball, installed without a network into an empty folder, does the first things anybody would type. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { installInto, packInto, typeIn } from '../package-rig.ts'

const root = join(import.meta.dirname, '../..')
/** numbers.md: what an install may weigh. */
const mostBytes = 20 * 1024 * 1024

test('the package installs offline into an empty folder, weighs at most 20 MB, and takes in a task', async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), 'tri-agent-package-'))
  t.after(() => rm(scratch, { recursive: true, force: true }))
  const [empty, repo] = [join(scratch, 'empty'), join(scratch, 'repo')]
  const type = (cwd: string, file: string, ...args: string[]) => typeIn(scratch, cwd, file, ...args)
  await mkdir(repo)
  const tarball = await packInto(scratch)
  const seconds = await installInto(scratch, empty, tarball)
  const installed = await sizeOf(join(empty, 'node_modules'))
  t.diagnostic(
    `tarball ${megabytes((await stat(tarball)).size)}, installed ${megabytes(installed)}, ${seconds.toFixed(1)} s`,
  )
  assert.ok(installed <= mostBytes, `${installed} bytes`)
  assert.deepEqual(
    (await readdir(join(empty, 'node_modules'))).filter((name) => !name.startsWith('.')),
    ['tri-agent'],
    'it brings nothing else along',
  )

  const beside = [
    'migrations/0001-log.sql',
    'prompt/implement.md',
    'forwarder.mjs',
    'starter.pl',
    'watcher.mjs',
    'scripted-agent.js',
  ]
  const dist = await readdir(join(empty, 'node_modules/tri-agent/dist'), { recursive: true })
  assert.deepEqual(
    beside.filter((name) => !dist.includes(name)),
    [],
    'what is read from beside the program is packed too',
  )

  const program = join(empty, 'node_modules/.bin/tri-agent')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  assert.equal((await type(empty, program, '--version')).stdout, `${version}\n`)

  await type(repo, 'git', 'init', '-q', '-b', 'main')
  await type(
    repo,
    'git',
    '-c',
    'user.name=Ada',
    '-c',
    'user.email=ada@example.org',
    'commit',
    '-q',
    '--allow-empty',
    '-m',
    'Start',
  )
  await type(repo, program, 'init', '--yes')
  const added = JSON.parse((await type(repo, program, 'add', 'Add a flag', '--json')).stdout) as {
    task: { id: string }
  }
  const listed = JSON.parse((await type(repo, program, 'list', '--json')).stdout) as { tasks: { id: string }[] }
  assert.deepEqual(
    listed.tasks.map(({ id }) => id),
    [added.task.id],
  )
})

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const sizes = entries
    .filter((each) => each.isFile())
    .map(async (each) => (await stat(join(each.parentPath, each.name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(2)} MB`
