/** The demo on a machine that has another Node first on its PATH: it brings its own. */
import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { bundle, person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

test('the demo lands every task also where PATH leads to a Node that is too old for its repository', async () => {
  await using ada = await person(built.program)
  const old = join(ada.home, 'old')
  await mkdir(old)
  await writeFile(join(old, 'node'), '#!/bin/sh\necho "an old Node cannot read this" >&2\nexit 1\n')
  await chmod(join(old, 'node'), 0o755)
  const { stdout, stderr } = await ada.type(['demo', '--json'], { env: { PATH: `${old}:${ada.path}` } })
  const { tasks } = JSON.parse(stdout) as { tasks: { state: string }[] }
  assert.deepEqual(new Set(tasks.map(({ state }) => state)), new Set(['done']), stderr)
})
