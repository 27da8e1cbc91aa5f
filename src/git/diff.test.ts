import assert from 'node:assert/strict'
import { rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeScratch, refreshed } from './fixture.ts'

test('no attribute, NUL byte or rename hides a change from a reviewer; what is not text is named', async () => {
  await using scratch = await makeScratch()
  const { git, stores, type } = scratch
  await scratch.commit(stores.source, { 'old.ts': 'export const same = 1\n'.repeat(30), 'hidden.ts': 'fair\n' })
  const { base } = await refreshed(scratch)
  await type(stores.source, ['config', 'diff.evil.textconv', 'true'])
  await scratch.commit(stores.source, {
    '.gitattributes': '*.ts -diff\n*.md diff=evil binary\n',
    'hidden.ts': 'stolen\n',
    'nul.ts': `const code = 1 // \0\n${'const more = 2\n'.repeat(20)}evil()\n`,
    'picture.png': Uint8Array.from({ length: 4000 }, (_, index) => (index * 7919) % 256),
    'readme.md': 'words\ndiff --git a/forged b/forged\n',
    'ünï.txt': 'x\n',
  })
  await rm(join(stores.source, 'old.ts'))
  await writeFile(join(stores.source, 'new.ts'), 'export const same = 1\n'.repeat(30))
  await rm(join(stores.source, 'src/app.ts'))
  await symlink('../readme.md', join(stores.source, 'src/app.ts'))
  const head = await scratch.commit(stores.source, {})
  await refreshed(scratch)
  const diff = await git.diff(stores, base, head)
  for (const line of [
    '+stolen',
    '-fair',
    '+evil()',
    '+words',
    '-one',
    '+diff --git a/forged b/forged',
    '+../readme.md',
    '+++ b/ünï.txt',
  ]) {
    assert.ok(diff.includes(`\n${line}\n`), line)
  }
  assert.equal(diff.match(/^-export const same = 1$/gm)?.length, 30, 'a rename is shown as what went and what came')
  assert.match(
    diff,
    /\n\+\+\+ b\/picture\.png\nContent not shown, \d+ bytes that are mostly not text: look at the file itself\ndiff --git /,
  )
  assert.ok(!diff.includes('Binary files'))
  const plain = await type(stores.source, ['diff', base, head])
  assert.ok(!plain.includes('stolen') && plain.includes('rename from old.ts'), 'the control: plain git hides both')
})

test('what cannot be seen is spelled out, and control characters do not make code unseen', async () => {
  await using scratch = await makeScratch()
  const { git, stores } = scratch
  const { base } = await refreshed(scratch)
  const head = await scratch.commit(stores.source, {
    'a.ts': 'if (level !== "user\u202e \u2066// admin\u2069 \u2066") {\r\n',
    'b.ts': 'const is\u200bAdmin = 1\u00a0// caf\u00e9 \u{e0041}\u{1f600}\n',
    'c.ts': `evil() /* ${'\u0001\u001b\r'.repeat(40)} */\n`,
  })
  await refreshed(scratch)
  const diff = await git.diff(stores, base, head)
  for (const line of [
    '+if (level !== "user<U+202E> <U+2066>// admin<U+2069> <U+2066>") {\r',
    '+const is<U+200B>Admin = 1\u00a0// caf\u00e9 <U+E0041>\u{1f600}',
    `+evil() /* ${'<U+0001><U+001B><U+000D>'.repeat(40)} */`,
  ])
    assert.ok(diff.includes(`\n${line}\n`), line)
})

test('equal trees have an empty diff', async () => {
  await using scratch = await makeScratch()
  const { base } = await refreshed(scratch)
  assert.equal(await scratch.git.diff(scratch.stores, base, base), '')
})
