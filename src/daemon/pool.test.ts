/** The warm pool against real git: what is wanted becomes ready without anybody having made a folder for it, is taken once, and never for another repository. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeScratch, refreshed } from '../git/fixture.ts'
import { realWorld, type World } from '../host/world.ts'
import { clonePool } from './pool.ts'

const soon: World = { ...realWorld(), timer: { ...realWorld().timer, sleep: () => Promise.resolve() } }

test('a clone that is wanted is made ahead, taken once, and taken only for its own repository and commit', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  const failures: unknown[] = []
  const folder = scratch.place('warm')
  {
    await using pool = clonePool({
      world: soon,
      git: scratch.git,
      folder,
      objectsInside: null,
      failed: (error) => failures.push(error),
    })
    pool.want('repo_1', scratch.stores, base)
    await pool.settled()
    assert.deepEqual(failures, [])

    const elsewhere = { ...scratch.stores, mirror: scratch.place('other-mirror') }
    const into = scratch.place('work')
    assert.equal(await pool.take(elsewhere, base, into), false, 'of another repository')
    assert.equal(await pool.take(scratch.stores, base.replaceAll(/./g, '0'), into), false, 'of another commit')
    assert.equal(await pool.take(scratch.stores, base, into), true)
    assert.equal(await readFile(join(into, 'readme.md'), 'utf8'), 'one\ntwo\nthree\n')
    assert.equal(await pool.take(scratch.stores, base, scratch.place('work')), false, 'a second time')
  }
  assert.equal(existsSync(folder), false, 'nothing is left when it ends')
})
