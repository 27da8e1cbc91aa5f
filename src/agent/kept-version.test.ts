import assert from 'node:assert/strict'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { keptVersions } from './kept-version.ts'

test('a program is asked once, and again when it is another file, with other words, or told nothing', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-version-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const [file, program, other] = ['versions.json', 'claude', 'with space 1 2 3 4 5'].map((name) => join(folder, name))
  let told: string | null = '1.0.0'
  const asked: string[][] = []
  const start = () =>
    keptVersions(file!, async (argv) => {
      asked.push(argv.map((word) => word.slice(folder.length + 1)))
      return told
    })
  await writeFile(program!, 'one')
  assert.deepEqual([await start()([program!]), await start()([program!])], ['1.0.0', '1.0.0'])
  assert.deepEqual(asked.splice(0), [['claude']])

  told = '2.0.0'
  await writeFile(program!, 'two') // the same size, another time
  assert.deepEqual([await start()([program!]), await start()([program!])], ['2.0.0', '2.0.0'])
  await utimes(program!, 1, 1)
  assert.equal(await start()([program!]), '2.0.0')
  assert.equal(asked.splice(0).length, 2)

  told = null
  await writeFile(other!, 'mute')
  assert.deepEqual(
    [await start()([other!]), await start()([other!]), await start()([program!, folder])],
    [null, null, null],
  )
  assert.equal(asked.splice(0).length, 3)
  told = '3.0.0'
  assert.deepEqual([await start()([other!]), await start()([program!])], ['3.0.0', '2.0.0'])
  await writeFile(file!, '{"')
  assert.equal(await start()([program!]), '3.0.0')
  assert.equal(asked.length, 2)
})
