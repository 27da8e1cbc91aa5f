/** Removing what a contained program has left, whatever it did to its folders. */
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { removeTree } from './area.ts'
import { asNobody } from './fixture.ts'

test('folders that a program has closed are removed, while all around them is on its way out', () =>
  asNobody(async () => {
    const outside = await mkdtemp(join(tmpdir(), 'tri-agent-area-'))
    const root = join(outside, 'area')
    const closed = join(root, 'closed')
    await mkdir(closed, { recursive: true })
    await writeFile(join(closed, 'kept'), '')
    await chmod(closed, 0o500)
    for (let wide = 0; wide < 300; wide += 1) await mkdir(join(root, `${wide}`, 'a', 'b', 'c'), { recursive: true })
    await removeTree(root)
    assert.deepEqual(await readdir(outside), [])
    await removeTree(outside)
  }))
