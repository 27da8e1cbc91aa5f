/** Packed, installed into an empty folder without a network, the package plays the whole demo. Size and seconds are printed. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { installInto, packInto, typeIn } from '../package-rig.ts'
import { world } from './rig.ts'

test('the installed package plays the demo: every task lands', async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'tri-e2e-package-'))
  try {
    const tarball = await packInto(scratch)
    const folder = join(scratch, 'empty')
    const installing = await installInto(scratch, folder, tarball)
    const began = world.clock.mono()
    const program = join(folder, 'node_modules/.bin/tri-agent')
    const { stdout } = await typeIn(scratch, folder, program, 'demo', '--json')
    const playing = (world.clock.mono() - began) / 1000
    const told = JSON.parse(stdout) as { tasks: { state: string }[] }
    assert.deepEqual(
      told.tasks.map(({ state }) => state),
      ['done', 'done', 'done', 'done'],
    )
    const files = await readdir(folder, { recursive: true, withFileTypes: true })
    const sizes = await Promise.all(
      files.filter((each) => each.isFile()).map(async (each) => (await stat(join(each.parentPath, each.name))).size),
    )
    const megabytes = sizes.reduce((sum, size) => sum + size, 0) / 1024 / 1024
    process.stdout.write(
      `package: ${megabytes.toFixed(1)} MB installed in ${installing.toFixed(1)} s, demo in ${playing.toFixed(1)} s\n`,
    )
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
})
