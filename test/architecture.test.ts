/**
 * The map in ARCHITECTURE.md is the law, in both directions: an import without an arrow fails, and so does an arrow nobody follows. Beside it the
 * absences that can be read off the sources: who may speak SQL, start processes, open a transaction.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { harvest, harvestSources, leadsTo, roomOf, root } from './harvest.ts'

const page = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
const block = (name: string): string[] =>
  (new RegExp(`<!-- ${name}:[^\n]*-->\\s*\`\`\`\n(.*?)\`\`\``, 's').exec(page)?.[1] ?? '').split('\n').filter(Boolean)

type Arrow = { from: string; to: string; lazy: boolean }
const read = (lines: readonly string[]): Arrow[] =>
  lines.flatMap((line) => {
    const [, from = '', to = '', lazy] = /^(\S+) ->((?: \S+)*?)( by import\(\))?$/.exec(line) ?? assert.fail(line)
    return to
      .split(' ')
      .filter(Boolean)
      .map((name) => ({ from, to: name, lazy: lazy !== undefined }))
  })
const arrows = read(block('arrows'))
const packages = read(block('packages'))
const rooms = new Set(block('arrows').map((line) => line.split(' ')[0]!))
const floors = block('floors').map((line) => line.split(' '))

const all = harvestSources()
const sources = all.filter(({ isTest }) => !isTest)
/** What tests share: no test itself, and no part of the product. */
const isShared = (path: string) => /\/(?:fixture|rehearsal|canned|[a-z]+-rig)\.ts$/.test(path)
const isBuiltin = (target: string) => target.startsWith('node:') || builtinModules.includes(target.split('/')[0]!)

/** Every import that leaves its room: `to` is a room or a package. */
const found = sources.flatMap(({ path, room, imports }) =>
  imports.flatMap(({ target, how }) => {
    const end = leadsTo(path, target)
    const to = target.startsWith('.') ? roomOf(end) : end
    const isTools = !target.startsWith('.') && isShared(path) // tests may use any development package
    return isBuiltin(target) || isTools || to === room ? [] : [{ path, target, how, from: room, to }]
  }),
)
const said = ({ from, to, lazy }: Arrow) => `${from} -> ${to}${lazy ? ' by import()' : ''}`
const nothing = (offenders: readonly unknown[]) => assert.deepEqual(offenders, [])

test('map, floors and sources were all read: an empty harvest proves nothing', () => {
  assert.ok(arrows.length > 20, `${arrows.length} arrows in ARCHITECTURE.md`)
  assert.ok(packages.length > 2, `${packages.length} packages in ARCHITECTURE.md`)
  assert.ok(floors.length > 3, `${floors.length} floors in ARCHITECTURE.md`)
  assert.ok(sources.length > 100 && found.length > 300, `${sources.length} sources, ${found.length} imports`)
  assert.ok(all.some(({ path }) => path.endsWith('.mjs')) && found.some(({ how }) => how === 'beside'))
})

test('every import follows an arrow drawn in ARCHITECTURE.md, and an arrow `by import()` only so', () => {
  const drawn = [...arrows, ...packages]
  const undrawn = found.filter(
    ({ from, to, how }) =>
      !drawn.some((arrow) => arrow.from === from && arrow.to === to && (!arrow.lazy || how === 'dynamic')),
  )
  nothing(undrawn.map(({ path, target, how }) => `${path} imports ${target} (${how})`))
})

test('every arrow drawn in ARCHITECTURE.md is followed by an import', () => {
  const followed = (arrow: Arrow) =>
    found.some(({ from, to, how }) => arrow.from === from && arrow.to === to && (!arrow.lazy || how === 'dynamic'))
  nothing([...arrows, ...packages].filter((arrow) => !followed(arrow)).map(said))
})

test('every folder is a room on the map, in the table and on a floor, and nothing else is', () => {
  const there = new Set(sources.map(({ room }) => room))
  assert.deepEqual(rooms, there)
  assert.deepEqual(new Set(floors.flat()), there)
  const told = [...page.matchAll(/^\| `(?:src\/)?(\w+)` +\|/gm)].map(([, name]) => name)
  assert.deepEqual(new Set(told), there)
})

test('every arrow runs down', () => {
  const floor = (name: string) => floors.findIndex((names) => names.includes(name))
  nothing(arrows.filter(({ from, to }) => floor(from) >= floor(to)).map(said))
})

test('no import hides: several on a line, by type, re-exported, by import(), as a file beside', () => {
  const source = `/* é */ import a from './a.ts'; import './b.ts'; import type { C } from './c.ts'
    export { d } from './d.ts'; export * from './e.ts'; export type { F } from './f.ts'; const g = () => import('./g.ts')
    const h = new URL('./h.ts', import.meta.url), i = join(import.meta.dirname, './i.ts') // import './not.ts'`
  const targets = harvest('x.ts', source).imports.map(({ target }) => target.charAt(2))
  assert.equal(targets.toSorted().join(''), 'abcdefghi')
  assert.throws(() => harvest('x.ts', 'await import(name)'), /computed/)
  assert.throws(() => harvest('x.ts', 'new URL(name, import.meta.url)'), /computed/)
  assert.throws(() => harvest('x.ts', 'import {'), /does not parse/)
})

test('what only tests share is imported by tests and by its own kind alone', () => {
  const shared = sources.filter(({ path }) => isShared(path))
  assert.ok(shared.length >= 4, 'the harvest is empty')
  nothing(
    sources
      .filter(({ path }) => !isShared(path))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ target }) => isShared(leadsTo(path, target)))
          .map(({ target }) => `${path} imports ${target}`),
      ),
  )
})

/** Modules of Node that only these files, or all of a folder, may import; an empty list is nobody. Tests may do what they like. */
const only: Record<string, readonly string[]> = {
  'node:sqlite': [
    'src/store/backup.ts',
    'src/store/connect.ts',
    'src/store/database.ts',
    'src/store/fit.ts',
    'src/store/migrate.ts',
    'src/store/restore.ts',
    'src/store/restoring.ts',
    'src/store/shell.ts',
    'src/store/statement.ts',
  ],
  // The scripted agent and the forwarder are programs of their own, started inside a sandbox, and the watcher around one: they have no World. Nor has what an old Node executes
  // to find a newer one.
  'node:child_process': [
    'src/host/process.ts',
    'src/host/newer-node.ts',
    'src/sandbox/forwarder.mjs',
    'src/sandbox/watcher.mjs',
    'sim/scripted-agent.ts',
  ],
  'node:https': ['src/gateway/'],
  'node:tls': [],
  'node:module': ['src/cli/main.ts'], // switches the compile cache on; createRequire would hide imports from this test
  'node:cluster': [],
  'node:worker_threads': [],
  'node:vm': [],
  'node:http2': [],
  'node:dgram': ['src/sandbox/arena.ts'], // a server to attack
}

test('processes, SQLite, the way to a provider: each is imported in its own few files and nowhere else', () => {
  for (const [name, allowed] of Object.entries(only)) {
    const importers = sources
      .filter(({ imports }) => imports.some(({ target }) => target === name || `node:${target}` === name))
      .map(({ path }) => path)
    const isAllowed = (path: string) =>
      allowed.some((each) => path === each || (each.endsWith('/') && path.startsWith(each)))
    nothing(importers.filter((path) => !isAllowed(path)).map((path) => `${path} imports ${name}`))
    nothing(
      allowed
        .filter((each) => !importers.some((path) => path.startsWith(each)))
        .map((each) => `${each} needs no ${name}`),
    )
  }
})

const sql =
  /^\s*(?:(?:select\s.+\sfrom|insert\s+into|delete\s+from|update\s+\S+\s+set|with\s+\w+\s+as|create\s+(?:table|index|trigger|view)|drop\s+\w+|alter\s+table)\s|pragma\s|begin\b|savepoint\b)/is

/**
 * Who speaks SQL outside store, and why. The gateway's rehearsal reads the books behind the ledger's back, so that a test of the ledger does not
 * believe the ledger's own functions.
 */
const speakers = ['src/gateway/rehearsal.ts']

test('nothing outside store speaks SQL', () => {
  const speaks = ({ literals, code }: { literals: string[]; code: string }) =>
    literals.some((text) => sql.test(text)) || /\b(?:tx|reader|database)\.(?:all|get|run|exec|prepare)\b/.test(code)
  const outside = sources.filter(({ room }) => room !== 'store')
  assert.deepEqual(
    outside.filter(speaks).map(({ path }) => path),
    speakers,
  )
  assert.ok(sources.filter(({ room }) => room === 'store').some(speaks), 'SQL is recognised where it is')
  for (const each of [
    'select doc from task',
    'with a as (select 1)',
    'begin immediate',
    'pragma user_version',
    'update task set x = 1',
  ])
    assert.ok(sql.test(each), each)
  for (const each of ['select a model from', 'update the plan', 'begins', 'with a word'])
    assert.ok(!sql.test(each), each)
})

test('only the four doors open a transaction', () => {
  const opens = sources.filter(({ code }) => /\bdatabase\s*\.\s*write\b|\bwrite\(\s*(?:async\s*)?\(?tx\b/.test(code))
  const doors = new Set(opens.map(({ room }) => room))
  assert.deepEqual(doors, new Set(['command', 'daemon', 'engine', 'gateway', 'store']))
})

test('a file has at most 400 lines and begins with what it is', () => {
  nothing(all.filter(({ lines }) => lines > 400).map(({ path, lines }) => `${path} has ${lines} lines`))
  nothing(sources.filter(({ header }) => header === null).map(({ path }) => `${path} has no header`))
  const header = (source: string) => harvest('x.ts', source).header
  assert.deepEqual(
    ['/** What it is. */\n', '#!/usr/bin/env node\n// What it is.\n', 'import "./a.ts" // no\n', '/** */\n', ''].map(
      header,
    ),
    ['What it is.', 'What it is.', null, null, null],
  )
})

/** The composition root names everything there is, once and in order; cut up it would say the same in more places. */
const longest = ['src/daemon/daemon.ts: wire']

test('a function has at most 60 lines, those of functions inside it not counted', () => {
  const functions = sources.flatMap(({ path, functions: own }) => own.map((each) => ({ path, ...each })))
  assert.ok(functions.length > 1000, `${functions.length} functions`)
  assert.deepEqual(
    functions.filter(({ lines }) => lines > 60).map(({ path, name }) => `${path}: ${name}`),
    longest,
  )
  const source = `function a() {\n${'  1\n'.repeat(9)}}\nconst b = () => {\n  const c = () => {\n    1\n  }\n  return c\n}\n`
  const lines = harvest('x.ts', source).functions.map(({ name, lines: own }) => `${name} ${own}`)
  assert.deepEqual(lines.toSorted(), ['a 11', 'b 4', 'c 3'])
})

test('no class but errors, no variable of a whole module, no file that only passes others on', () => {
  const isWrong = ({ code, isBarrel }: { code: string; isBarrel: boolean }) =>
    isBarrel || /^(?:export )?(?:let|var) /m.test(code) || /\bclass (?!\w+ extends \w*(?:Error|Fault)\b)\w+/.test(code)
  nothing(sources.filter(isWrong).map(({ path }) => path))
  const bad = [
    'let x = 1',
    'export let x = 1',
    'class A {}',
    "export * from './a.ts'",
    "export {\n  a,\n} from './a.ts'\n",
  ]
  const good = ['const x = 1', 'class A extends Error {}', "import './a.ts'\nstart()", 'function a() {\n  let b = 1\n}']
  assert.deepEqual(
    [...bad, ...good].filter((code) => isWrong(harvest('x.ts', code))),
    bad,
  )
})
