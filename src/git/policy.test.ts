import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Entry } from './change.ts'
import { judgeEntries, judgeLinks, leadsOut, meansDotGit } from './policy.ts'

const bytes = (text: string) => Buffer.from(text, 'utf8').toString('latin1')

const entry = (path: string, change: Partial<Entry> = {}): Entry => ({
  oldMode: '000000',
  newMode: '100644',
  oldId: '0',
  newId: '1',
  letter: 'A',
  path: bytes(path),
  ...change,
})

test('a name that some file system takes for .git is known, and only such a name', () => {
  const evil = [
    '.git',
    '.GIT',
    '.Git',
    'git~1',
    'GIT~1',
    '.git.',
    '.git ',
    '.git . .',
    '.git::$INDEX_ALLOCATION',
    '.git:x',
    'git~1.',
  ]
  const evilByHfs = ['.g\u200cit', '\ufeff.git', '.gi\u206at', '.GIT\u200d'].map(bytes)
  const evilByBackslash = ['a\\.git', '.git\\hooks', '\\.git']
  for (const name of [...evil, ...evilByHfs, ...evilByBackslash]) assert.ok(meansDotGit(name), JSON.stringify(name))
  const fair = [
    '.gitignore',
    '.github',
    '.gitattributes',
    '.gitmodules',
    'git',
    'x.git',
    '.git~1',
    'git~10',
    '.git-old',
    '.gitx.',
    '..git',
  ]
  for (const name of fair) assert.ok(!meansDotGit(name), JSON.stringify(name))
})

test('new names are judged, names the base already had are not', () => {
  const names = [
    'a/.git/hooks/x',
    'a/.GIT/config',
    'git~1/config',
    'line\nbreak',
    'tab\tbed',
    'right\u202eleft',
    `${'x'.repeat(256)}`,
    'ok name',
    'ünï/.github/x.yml',
  ]
  assert.deepEqual(judgeEntries(names.map((name) => entry(name))), [
    'a/.git/hooks/x: a file system may take a name in it for .git',
    'a/.GIT/config: a file system may take a name in it for .git',
    'git~1/config: a file system may take a name in it for .git',
    'line\nbreak: the name has control characters',
    'tab\tbed: the name has control characters',
    'right\u202eleft: the name has control characters',
    `${'x'.repeat(256)}: a name is longer than 255 bytes`,
  ])
  assert.deepEqual(judgeEntries([entry('line\nbreak', { letter: 'M', oldMode: '100644' })]), [])
  assert.deepEqual(judgeEntries([entry('line\nbreak', { letter: 'D', oldMode: '100644', newMode: '000000' })]), [])
})

test('submodules must stay as they were', () => {
  const reason = 'lib: a submodule may not be added, moved or removed'
  assert.deepEqual(judgeEntries([entry('lib', { newMode: '160000' })]), [reason])
  assert.deepEqual(judgeEntries([entry('lib', { letter: 'M', oldMode: '160000', newMode: '160000' })]), [reason])
  assert.deepEqual(judgeEntries([entry('lib', { letter: 'D', oldMode: '160000', newMode: '000000' })]), [reason])
  assert.deepEqual(judgeEntries([entry('lib', { letter: 'T', oldMode: '160000' })]), [reason])
})

test('a link is followed as a kernel follows it', () => {
  const links = new Map([
    ['in', 'src/app.ts'],
    ['src/up', '..'],
    ['src/deep/top', '../..'],
    ['a/b/c/far', '../../../x'],
    ['out', '../x'],
    ['absolute', '/etc/passwd'],
    ['chain', 'src/deep/top/../etc'],
    ['lexical', 'a/../src'],
    ['loop', 'loop'],
    ['src/many', '../../../../../etc'],
  ])
  assert.deepEqual(
    [...links.keys()].filter((path) => leadsOut(path, links)),
    ['out', 'absolute', 'chain', 'loop', 'src/many'],
  )
})

test('a changed link must end inside, and no old link may begin to lead out', () => {
  const link = (path: string) => entry(path, { newMode: '120000' })
  const old = new Map([
    ['vendor', '/usr/share'],
    ['door', 'shelf/../../x'],
    ['shelf', 'a/b'],
  ])
  assert.deepEqual(
    judgeLinks([link('new')], old, new Map([...old, ['new', 'a/b']])),
    [],
    'the old way out is the user’s own',
  )
  assert.deepEqual(judgeLinks([link('new')], old, new Map([...old, ['new', 'vendor/x']])), [
    'new: the link leads out of the tree',
  ])
  const moved = new Map([...old, ['shelf', 'a']])
  assert.deepEqual(judgeLinks([link('shelf')], old, moved), ['door: the link leads out of the tree'])
  assert.deepEqual(judgeLinks([link('new')], old, new Map([['new', 'x/.GIT/config']])), [
    'new: the link leads into .git',
  ])
  assert.deepEqual(judgeLinks([link('new')], old, new Map([['new', '']])), ['new: a link must have a target'])
})
