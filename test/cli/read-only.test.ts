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

/** A shell line on a disk of its own, or null where none can be mounted. `%s` is the program. */
async function onOwnDisk(t: TestContext, line: string): Promise<{ stdout: string; stderr: string } | null> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-ro-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const inside = (words: string) =>
    capture(world.spawn, {
      file: 'unshare',
      args: ['-rm', 'sh', '-c', `mount -t tmpfs -o size=64m,mode=700 tmpfs '${folder}' && ${words}`],
      cwd: '/',
      env: { PATH: `${path}:/usr/sbin:/sbin`, HOME: folder },
    }).catch((error: Error) => ({ code: -1, stdout: '', stderr: error.message }))
  const may = await inside('true')
  if (may.code !== 0) {
    t.skip(`no tmpfs can be mounted here: ${may.stderr.trim()}`)
    return null
  }
  return inside(line.replaceAll('%s', `'${process.execPath}' '${built.program}'`))
}

test('on a read-only mount status answers, and a pause is refused', async (t: TestContext) => {
  const said = await onOwnDisk(
    t,
    `%s db migrate >/dev/null && mount -o remount,ro $HOME && %s status; echo "status $?"; %s pause; echo "pause $?"`,
  )
  if (said === null) return
  assert.match(said.stdout, /^Daemon +down[^]*status 0\npause 1\n$/)
  assert.match(said.stderr, /^Only looking: .*tasks\.db: unable to open database file/)
  assert.match(said.stderr, /attempt to write a readonly database\n {2}→ make its disk and its folder writable again/)
})

test('on a read-only mount a database of another schema, or one that is not made to its end, is no bug', async (t: TestContext) => {
  const spoil = `const { DatabaseSync } = require("node:sqlite"); const db = new DatabaseSync(process.argv[1]); db.exec("drop table task; pragma user_version = 3"); db.close()`
  const said = await onOwnDisk(
    t,
    `%s db migrate >/dev/null && '${process.execPath}' -e '${spoil}' $HOME/.local/state/tri-agent/tasks.db && mount -o remount,ro $HOME; %s status; echo "status $?"`,
  )
  if (said === null) return
  assert.equal(said.stdout, 'status 1\n')
  assert.match(said.stderr, /^tri-agent: .*tasks\.db: unable to open database file\n {2}→ look at it: ls -l /m)
})
