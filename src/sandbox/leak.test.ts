import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findText } from './leak.ts'

test('a text is found wherever it lies, also across the pieces a file is read in, and never through a link', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tri-agent-leak-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const outside = join(folder, 'outside')
  const tree = join(folder, 'tree')
  mkdirSync(join(tree, 'a/b'), { recursive: true })
  writeFileSync(outside, 'a secret word')
  symlinkSync(outside, join(tree, 'link'))
  symlinkSync('..', join(tree, 'a/up'))
  writeFileSync(join(tree, 'large'), Buffer.alloc(3 * 1024 * 1024, 'x'))
  assert.equal(await findText(tree, ['secret word']), null)
  assert.equal(await findText(tree, []), null)
  for (const at of [0, 1024 * 1024 - 5, 2 * 1024 * 1024 + 3]) {
    const bytes = Buffer.alloc(3 * 1024 * 1024, 'x')
    bytes.write('secret word', at)
    writeFileSync(join(tree, 'a/b/file'), bytes)
    assert.equal(await findText(tree, ['not there', 'secret word']), 'a/b/file', `at ${at}`)
  }
  writeFileSync(join(tree, 'a/b/file'), 'secret wor')
  assert.equal(await findText(tree, ['secret word']), null)
})
