import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { protectedAmong } from './protection.ts'
import { builtInProtectedPaths } from './setting.ts'

/** Any character at all: what fast-check calls `binary` takes seconds to set up. */
const unit = fc.integer({ min: 1, max: 0xff_ff }).map((code) => String.fromCharCode(code))

const named = (glob: string, ...files: string[]) => protectedAmong(files, [glob])

test('a star stays within a folder, two cross folders, everything else means itself', () => {
  assert.deepEqual(named('src/*.ts', 'src/a.ts', 'src/x/a.ts', 'src/ats', 'lib/a.ts'), ['src/a.ts'])
  assert.deepEqual(named('**/package.json', 'package.json', 'a/b/package.json', 'my-package.json', 'package.jsonx'), [
    'package.json',
    'a/b/package.json',
  ])
  assert.deepEqual(named('.github/**', '.github/workflows/ci.yml', 'xgithub/ci.yml', '.github'), [
    '.github/workflows/ci.yml',
  ])
  assert.deepEqual(named('a[1]+(b).c', 'a[1]+(b).c', 'a1b.c'), ['a[1]+(b).c'])
})

test('case hides nothing, for there are file systems that do not see it', () => {
  assert.deepEqual(named('**/package.json', 'Package.JSON'), ['Package.JSON'])
})

test('no folder name hides a protected file in it, whatever characters an agent puts into the name', () => {
  const folder = fc.array(fc.oneof(fc.string({ minLength: 1, unit }), fc.constantFrom('\n', '\r', '\u2028', '..')), {
    maxLength: 3,
  })
  fc.assert(
    fc.property(
      folder,
      fc.constantFrom('package.json', 'CLAUDE.md', '.gitattributes', 'yarn.lock'),
      (folders, name) => {
        const file = [...folders.map((each) => each.replaceAll('/', '_')), name].join('/')
        assert.deepEqual(protectedAmong([file], builtInProtectedPaths), [file])
      },
    ),
    { seed: 2026, numRuns: 100 },
  )
  assert.deepEqual(named('**/package.json', 'a\nb/package.json', 'a/package.json\n'), ['a\nb/package.json'])
})

test('bytes that are no text hide nothing: a path that git quotes counts as what it quotes', () => {
  const files = [
    String.raw`".github/workflows/\351.yml"`,
    String.raw`"caf\303\251/\351\"\\.ts"`,
    '"quoted"/.github/x',
    'x',
  ]
  assert.deepEqual(named('.github/**', ...files), [files[0]])
  assert.deepEqual(named('café/*.ts', ...files), [files[1]])
  assert.deepEqual(named('"quoted"/**', ...files), [files[2]])
})

test('without globs nothing is protected, and the order of the files is kept', () => {
  assert.deepEqual(protectedAmong(['package.json'], []), [])
  assert.deepEqual(protectedAmong(['b.lock', 'x', 'a.lock'], ['a.*', 'b.*']), ['b.lock', 'a.lock'])
})
