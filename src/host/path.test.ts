import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { isFault } from './fault.ts'
import { findPaths, makeFolders, whyNotTemporary } from './path.ts'

async function folder(context: TestContext): Promise<string> {
  const made = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-path-')))
  context.after(() => rm(made, { recursive: true, force: true }))
  return made
}

test('paths follow the XDG variables, and without them the home folder', () => {
  assert.deepEqual(findPaths({ HOME: '/h', XDG_STATE_HOME: '/s', XDG_CONFIG_HOME: '/c' }), {
    configFile: '/c/tri-agent/config.yaml',
    stateFolder: '/s/tri-agent',
    keys: '/s/tri-agent-keys',
    database: '/s/tri-agent/tasks.db',
    socket: '/s/tri-agent/daemon.sock',
    areas: '/s/tri-agent/areas',
    repos: '/s/tri-agent/repos',
    layers: '/s/tri-agent/layers',
    transcripts: '/s/tri-agent/transcripts',
    archives: '/s/tri-agent/archives',
    reports: '/s/tri-agent/reports',
    sockets: '/s/tri-agent/sockets',
    log: '/s/tri-agent/daemon.log',
  })
  const { configFile, stateFolder } = findPaths({ HOME: '/h', XDG_STATE_HOME: 'relative', XDG_CONFIG_HOME: '' })
  assert.deepEqual([configFile, stateFolder], ['/h/.config/tri-agent/config.yaml', '/h/.local/state/tri-agent'])
})

test('the path of a socket is never too long for a kernel, and two state folders never share one', () => {
  const long = fc.integer({ min: 1, max: 120 }).map((length) => `/${'s'.repeat(length)}`)
  fc.assert(
    fc.property(long, long, long, (state, runtime, temporary) => {
      const env = { HOME: '/h', XDG_STATE_HOME: state, XDG_RUNTIME_DIR: runtime, TMPDIR: temporary }
      const paths = findPaths(env)
      assert.ok(Buffer.byteLength(join(paths.sockets, 'x'.repeat(24))) <= 90)
      assert.notEqual(findPaths({ ...env, XDG_STATE_HOME: `${state}x` }).socket, paths.socket)
      assert.equal(findPaths(env).socket, paths.socket)
    }),
  )
})

test('folders are made for their owner alone, and one that others could read is closed', async (context) => {
  const home = await folder(context)
  const paths = findPaths({ HOME: home, XDG_STATE_HOME: join(home, 'deep/state') })
  await mkdir(paths.stateFolder, { recursive: true, mode: 0o755 })
  await makeFolders(paths)
  await makeFolders(paths)
  const { stateFolder, sockets, areas, repos, layers, transcripts, reports } = paths
  for (const each of [stateFolder, sockets, areas, repos, layers, transcripts, reports])
    assert.equal((await stat(each)).mode & 0o777, 0o700, each)
})

test('a state folder that others could write, that is a link, a file or of another user is refused', async (context) => {
  const home = await folder(context)
  const at = async (name: string, what: RegExp, make: (state: string) => Promise<unknown>) => {
    const paths = findPaths({ HOME: home, XDG_STATE_HOME: join(home, name) })
    await mkdir(join(home, name))
    await make(paths.stateFolder)
    await assert.rejects(
      makeFolders(paths),
      (error) => isFault(error, 'folder-unsafe') && what.test(error.message),
      name,
    )
  }
  for (const mode of [0o720, 0o702])
    await at(`mode-${mode}`, /written by other users/, async (state) => {
      await mkdir(state)
      await chmod(state, mode)
    })
  await at('link', /symbolic link/, (state) => symlink(home, state))
  await at('dangling', /symbolic link/, (state) => symlink(join(home, 'nowhere'), state))
  await at('file', /not a folder/, (state) => writeFile(state, ''))
  if (process.getuid?.() === 0) {
    const { chown } = await import('node:fs/promises')
    await at('stranger', /belongs to user 12345/, async (state) => {
      await mkdir(state)
      await chown(state, 12_345, 12_345)
    })
  }
})

test('a folder for what is temporary may be so long that sockets fit into it, a slash at its end not counted', async (context) => {
  const root = await mkdtemp('/tmp/p-')
  context.after(() => rm(root, { recursive: true }))
  const place = async (length: number) => {
    const folder = join(root, 'x'.repeat(length - root.length - 1))
    await mkdir(folder)
    return folder
  }
  assert.equal(whyNotTemporary({ TMPDIR: `${await place(48)}/` }), null)
  assert.match(whyNotTemporary({ TMPDIR: await place(49) })!, /^too long/)
})
