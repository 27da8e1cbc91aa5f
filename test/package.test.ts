/** What a user gets: the bundle, packed, installed into an empty directory without network, and used. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { capture } from '../src/host/process.ts'
import { path, person, world } from './cli-rig.ts'

const root = join(import.meta.dirname, '..')

test('the packed bundle installs into an empty directory, without network, and works there', async () => {
  const empty = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-package-')))
  try {
    const started = world.clock.mono()
    const env = { PATH: path, HOME: empty, npm_config_update_notifier: 'false' }
    const npm = async (cwd: string, ...args: string[]) => {
      const done = await capture(world.spawn, { file: 'npm', args, cwd, env })
      assert.equal(done.code, 0, done.stderr)
      return done.stdout
    }
    // as publishing does it, but into a folder of our own: two tests must not write one dist
    const copy = join(empty, 'copy')
    await mkdir(copy)
    const built = await capture(world.spawn, {
      file: process.execPath,
      args: [join(root, 'tools/build.ts'), join(copy, 'dist')],
      cwd: root,
      env,
    })
    assert.equal(built.code, 0, built.stderr)
    for (const name of ['package.json', 'README.md', 'LICENSE'])
      await writeFile(join(copy, name), await readFile(join(root, name)))
    await npm(copy, 'pack', '--ignore-scripts', '--pack-destination', empty)
    const tarball = (await readdir(empty)).find((name) => name.endsWith('.tgz'))!
    const target = join(empty, 'target')
    await mkdir(target)
    await writeFile(join(target, 'package.json'), '{}')
    await npm(target, 'install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', join(empty, tarball))
    const installed = (world.clock.mono() - started) / 1000
    assert.deepEqual((await readdir(join(target, 'node_modules'))).sort(), ['.bin', '.package-lock.json', 'tri-agent'])

    const program = await realpath(join(target, 'node_modules/.bin/tri-agent'))
    await using ada = await person(program)
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    assert.deepEqual(await ada.type(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
    assert.equal((await ada.type(['init'])).code, 0)
    assert.match((await ada.type(['add', 'Sell tea'])).stdout, /^Added task_\w+ to shop/)
    const files = await Promise.all(
      ['migrations/0001-log.sql', 'prompt/implement.md', 'forwarder.mjs', 'scripted-agent.js'].map((name) =>
        stat(join(target, 'node_modules/tri-agent/dist', name)),
      ),
    )
    assert.ok(files.every(({ size }) => size > 0))

    const packed = (await stat(join(empty, tarball))).size
    const sizes = await Promise.all(
      (await readdir(join(target, 'node_modules/tri-agent'), { recursive: true })).map((name) =>
        stat(join(target, 'node_modules/tri-agent', name)),
      ),
    )
    const unpacked = sizes.reduce((sum, each) => sum + (each.isFile() ? each.size : 0), 0)
    console.log(
      `packed ${(packed / 1e6).toFixed(2)} MB, installed ${(unpacked / 1e6).toFixed(2)} MB; built, packed and installed in ${installed.toFixed(1)} s`,
    )
    assert.ok(unpacked <= 20e6, `${unpacked} bytes installed, 20 MB promised`)
  } finally {
    await rm(empty, { recursive: true, force: true })
  }
})
