/** The demo's own folder. What the demo shows is tested where it is made; the whole of it is played by CI. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { removeTree } from '../sandbox/area.ts'
import { asNobody } from '../sandbox/fixture.ts'
import { demo } from './demo.ts'

test('what an earlier demo left, sealed layers and all, does not stand in the way of the next', () =>
  asNobody(async () => {
    const home = await mkdtemp(join(tmpdir(), 'tri-agent-demo-'))
    const sealed = join(home, '.cache/tri-agent/demo/state/tri-agent/layers/old')
    await mkdir(sealed, { recursive: true })
    await writeFile(join(sealed, 'file'), '')
    await chmod(sealed, 0o500)
    // where there is no git it comes no further than to a new beginning; as another user's not even that far
    const options = { env: { HOME: home, PATH: '/nonexistent' }, json: true, isTerminal: false, columns: 80 }
    await assert.rejects(demo({ ...options, out: () => {} }), (error: NodeJS.ErrnoException) => error.code !== 'EACCES')
    assert.equal(existsSync(sealed), false)
    await removeTree(home)
  }))
