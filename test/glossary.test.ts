/** GLOSSARY.md and the code say the same words, in both directions; and the nouns that say nothing are nowhere. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { EventType } from '../src/core/event.ts'
import { lanes } from '../src/core/lane.ts'
import { outcomes } from '../src/core/outcome.ts'
import { severities } from '../src/core/review.ts'
import { rungs } from '../src/core/rung.ts'
import { kinds, phases, roles, sizes, steps } from '../src/core/task.ts'
import { harvest, harvestSources, root } from './harvest.ts'

const page = readFileSync(join(root, 'GLOSSARY.md'), 'utf8')

/** The words a heading lists: what stands in backticks before the colon of each line. */
const listed = (heading: string): string[] =>
  (page.split(`\n## ${heading}\n`)[1] ?? '')
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('- '))
    .flatMap((line) => [...line.slice(0, line.indexOf(':')).matchAll(/`([^`]+)`/g)].map(([, word]) => word!))

const read = (path: string) => readFileSync(join(root, path), 'utf8')

/** The words of an exported union type of texts: `export type Rung = 'namespace' | 'group'`. */
const union = (path: string, name: string): string[] => {
  const said = new RegExp(`export type ${name} =([^\\n]*)`).exec(read(path))?.[1] ?? ''
  return [...said.matchAll(/'([^']+)'/g)].map(([, word]) => word!)
}

const events = harvest('event.ts', read('src/core/event.ts')).literals.filter((text) => /^[a-z]+\.[a-z]+$/.test(text))

const migrations = globSync('src/store/migrations/*.sql', { cwd: root })
  .toSorted()
  .map((path) => read(path))
  .join('\n')
/** Both ways of saying which words a column takes: a list, or word by word, which costs SQLite less. */
const allowed = /check \((\w+) (in \([^)]+\)|= '[^']+'(?:\s+or \1 = '[^']+')*)\)/g
const made = [...migrations.matchAll(/^create table (\w+) \((.*?)\n\) strict/gms)].map(([, name = '', body = '']) => ({
  name,
  columns: [...body.matchAll(allowed)].map(([, column, words = '']) => ({
    column: `${name}.${column}`,
    words: [...words.matchAll(/'([^']+)'/g)].map(([, word]) => word!),
  })),
}))
/** A table that a later migration makes anew is as that one makes it. */
const tables = [...new Map(made.map((table) => [table.name, table])).values()]

const lists: Record<string, readonly string[]> = {
  Kinds: kinds,
  Lanes: lanes,
  Sizes: sizes,
  Roles: roles,
  Steps: steps,
  Phases: phases,
  Outcomes: outcomes,
  Severities: severities,
  'States of a finding': union('src/core/review.ts', 'FindingState'),
  Rungs: rungs,
  'Event types': events,
  Tables: tables.map(({ name }) => name),
}

for (const [heading, words] of Object.entries(lists))
  test(`${heading.toLowerCase()} are those of the code`, () => {
    assert.ok(words.length > 1, 'the harvest is empty')
    assert.deepEqual(listed(heading).toSorted(), [...words].toSorted())
  })

test('the harvest of event types finds those at both ends of the file and no other text', () => {
  const known: EventType[] = ['task.added', 'attempt.ended', 'candidate.taken', 'landing.refused', 'loop.failed']
  assert.deepEqual(
    known.filter((type) => !events.includes(type)),
    [],
  )
  assert.equal(new Set(events).size, events.length, 'one type is declared once')
})

test('no table and no list of states hides from the harvest', () => {
  const count = (pattern: RegExp) => migrations.match(pattern)?.length ?? 0
  assert.equal(made.length, count(/create table/gi))
  assert.equal(made.flatMap(({ columns }) => columns).length, count(/\bcheck \(\w+ (?:in \(|= ')/gi))
})

test('every state a table allows is in the glossary, and no other', () => {
  const columns = tables.flatMap((table) => table.columns)
  assert.ok(columns.length >= 6, `${columns.length} columns were found`)
  const isListed = (words: readonly string[]) =>
    Object.values(lists).some((list) => list.toSorted().join() === words.toSorted().join())
  const rest = columns.filter(({ words }) => !isListed(words))
  assert.deepEqual(listed('States in tables').toSorted(), rest.map(({ column }) => column).toSorted())
  for (const { column, words } of rest) {
    const [, said = ''] = new RegExp(`^- \`${column}\`: (.*)$`, 'm').exec(page) ?? []
    assert.deepEqual([...said.matchAll(/`([^`]+)`/g)].map(([, word]) => word!).toSorted(), words.toSorted(), column)
  }
})

const words = page.split('\n## Kinds')[0]!.split('\n- ').slice(1)

test('every word says what it means and what not to say instead, and is explained once', () => {
  assert.ok(words.length > 80, `${words.length} words`)
  assert.deepEqual(
    words.filter((entry) => !/^\*\*[^*]+\*\*: \S.*\. \*Avoid\*: \S.*\.$/s.test(entry.split('\n\n')[0]!.trim())),
    [],
  )
  const names = words.map((entry) => entry.split('**')[1]!)
  assert.deepEqual(names, [...new Set(names)])
})

const banned = ['run', 'manager', 'handler', 'helper', 'util', 'service', 'data', 'info', 'common']
const parts = (name: string): string[] =>
  name.split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])/).map((part) => part.toLowerCase().replace(/s$/, ''))
/** `run` may begin a name, as the verb it is. */
const isBanned = (name: string): boolean =>
  parts(name).some((part, index) => banned.includes(part) && !(part === 'run' && index === 0))

test('no file and no name is called by a noun that says nothing', () => {
  const [, said = ''] = /Never a noun of ours: (.*?)\. /s.exec(page) ?? []
  assert.deepEqual(said.replaceAll('`', '').split(', '), banned, 'the page names the same ones')
  const sources = harvestSources().filter(({ path, isTest }) => path.startsWith('src/') && !isTest)
  assert.ok(sources.flatMap(({ names }) => names).length > 1000, 'the harvest is empty')
  assert.deepEqual(
    sources.flatMap(({ path, names, exports }) =>
      [path, ...new Set([...names, ...exports])].filter(isBanned).map((name) => `${path}: ${name}`),
    ),
    [],
  )
  for (const each of ['taskRun', 'src/core/utils.ts', 'InfoBox', 'eventHandlers', 'service_name'])
    assert.ok(isBanned(each), each)
  for (const each of ['run', 'runGate', 'prune', 'database', 'information']) assert.ok(!isBanned(each), each)
})
