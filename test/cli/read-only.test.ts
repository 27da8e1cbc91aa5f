/** A disk that takes nothing: what only looks still answers, and what wants to write is refused with what to do. Where a tmpfs may be mounted. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { environment } from '../../src/host/environment.ts'
import { capture } from '../../src/host/process.ts'
import { bundle, world } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())
const path = environment()['PATH'] ?? '/usr/bin:/bin'

test('on a read-only mount status answers, and a pause is refused', async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-ro-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const inside = (line: string) =>
    capture(world.spawn, {
      file: 'unshare',
      args: ['-rm', 'sh', '-c', `mount -t tmpfs -o size=64m,mode=700 tmpfs '${folder}' && ${line}`],
      cwd: '/',
      env: { PATH: `${path}:/usr/sbin:/sbin`, HOME: folder },
    }).catch((error: Error) => ({ code: -1, stdout: '', stderr: error.message }))
  const may = await inside('true')
  if (may.code !== 0) return t.skip(`no tmpfs can be mounted here: ${may.stderr.trim()}`)
  const type = `'${process.execPath}' '${built.program}'`
  const { stdout, stderr } = await inside(
    `${type} db migrate >/dev/null && mount -o remount,ro '${folder}' && ${type} status; echo "status $?"; ${type} pause; echo "pause $?"`,
  )
  assert.match(stdout, /^Daemon +down[^]*status 0\npause 1\n$/)
  assert.match(stderr, /^Only looking: .*tasks\.db: unable to open database file/)
  assert.match(stderr, /attempt to write a readonly database\n {2}→ make its disk and its folder writable again/)
})
