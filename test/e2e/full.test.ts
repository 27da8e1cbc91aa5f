/** A full disk under a daemon at work: it says so, keeps what was paid for, and goes on by itself. On a tmpfs of its own, where one may be mounted. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { bundleVariable } from '../cli-rig.ts'
import { world } from './rig.ts'

const path = environment()['PATH'] ?? '/usr/bin:/bin'

test('a disk that fills up while reviewers work costs no result: it is said, status answers, and all goes on when there is room', async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-full-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const inside = (line: string) =>
    capture(world.spawn, {
      file: 'unshare',
      args: ['-rm', 'sh', '-c', `mount -t tmpfs -o size=4g,mode=700 tmpfs '${folder}' && ${line}`],
      cwd: '/',
      env: {
        PATH: `${path}:/usr/sbin:/sbin`,
        TMPDIR: folder,
        HOME: folder,
        ...(environment()[bundleVariable] === undefined ? {} : { [bundleVariable]: environment()[bundleVariable]! }),
      },
    }).catch((error: Error) => ({ code: -1, stdout: '', stderr: error.message }))
  const may = await inside('true')
  if (may.code !== 0) return t.skip(`no tmpfs can be mounted here: ${may.stderr.trim()}`)
  const { code, stdout, stderr } = await inside(
    `exec '${process.execPath}' '${join(import.meta.dirname, 'full-disk.ts')}'`,
  )
  assert.equal(code, 0, stdout + stderr)
  const seen = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown>
  assert.deepEqual(seen, {
    ready: false,
    trouble: 'disk-full',
    status: [0, 'disk-full'],
    added: [75, 'database or disk is full'],
    reviews: [2, false],
    unwritten: [true, true],
    events: ['store.failed', 'store.recovered'],
  })
})
