/** docs/configuration.md names every key of both files with its default, and says truly which of them nothing reads yet. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as z from 'zod'
import { isRefusal } from '../src/core/refusal.ts'
import { defaultSettings, gateTimeoutMs, vendors } from '../src/core/setting.ts'
import { showDuration } from '../src/core/quantity.ts'
import { operatorSchema, repositorySchema } from '../src/host/config-schema.ts'
import { loadConfig } from '../src/host/config.ts'
import { harvestSources, root } from './harvest.ts'

const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8')

type Row = { key: string; unit: string; default: string; meaning: string }
const rowsOf = (heading: string): Row[] =>
  (page.split(`\n## ${heading}\n`)[1] ?? '')
    .split('\n## ')[0]!
    .split('\n')
    .flatMap((line) => {
      const [, key, unit, fallback, meaning] = /^\| `([^`]+)` \| (.+?) \| (.+?) \| (.*?) ?\|$/.exec(line) ?? []
      return key === undefined ? [] : [{ key, unit: unit!, default: fallback!, meaning: meaning! }]
    })
const operatorRows = rowsOf("The operator's file").filter(({ key }) => !Object.hasOwn(vendors, key))
const repositoryRows = rowsOf("The repository's file")

type Schema = { properties?: Record<string, Schema>; additionalProperties?: Schema | false; items?: Schema }
/** Every key a person may write, as a path; what they name themselves is NAME or MODEL, a list of mappings `[]`. */
function keysIn(schema: Schema, path: string): string[] {
  const { properties, additionalProperties, items } = schema
  const own = path === 'prices' ? 'MODEL' : 'NAME'
  if (properties)
    return Object.entries(properties).flatMap(([key, each]) => keysIn(each, path === '' ? key : `${path}.${key}`))
  if (additionalProperties) return keysIn(additionalProperties, `${path}.${own}`)
  if (items?.properties) return keysIn(items, `${path}[]`)
  return [path]
}
const keysOf = (schema: z.ZodType) =>
  keysIn(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema, '')

test('every key of both files is in docs/configuration.md, in the order of the schema, and no other', () => {
  const keys = [...keysOf(operatorSchema), ...keysOf(repositorySchema)]
  assert.ok(keys.length > 50, `${keys.length} keys were harvested`)
  assert.deepEqual(
    [...operatorRows, ...repositoryRows].map(({ key }) => key),
    keys,
  )
})

test('every default in docs/configuration.md is the one in force without a file', async () => {
  const loaded = await loadConfig({ file: join(root, 'no-such-file'), env: {}, cores: 8 })
  assert.ok(!isRefusal(loaded))
  assert.ok(loaded.origins.length > 30, 'the harvest is empty')
  const said = (key: string) => operatorRows.find((row) => row.key === key || row.key.startsWith(`${key}[]`))?.default
  const values = loaded.origins.filter(({ key }) => key !== 'slots.gate') // depends on the machine: below
  assert.deepEqual(
    values.map(({ key }) => [key, said(key)]),
    values.map(({ key, value }) => [key, value === '' ? 'none' : `\`${value}\``]),
  )
  assert.deepEqual(
    [1, 2, 8, 64].map((cores) => [said('slots.gate'), defaultSettings(cores).slots.gate]),
    [1, 1, 3, 31].map((slots) => ['half the cores less one, at least 1', slots]),
  )
  const timeouts = ['unit test', 'lint'].map((name) => `\`${showDuration(gateTimeoutMs(name))}\``)
  assert.equal(
    repositoryRows.find(({ key }) => key === 'gates[].timeout')?.default,
    `${timeouts[0]} for tests, ${timeouts[1]} for others`,
  )
})

test('what each vendor needs is in docs/configuration.md', () => {
  for (const [family, { agent, baseUrl, keyVariables }] of Object.entries(vendors)) {
    const keys = keyVariables.map((name) => `\`${name}\``).join(', else ')
    assert.ok(page.includes(`| \`${family}\` | ${agent} | \`${baseUrl}\` | ${keys} |`), family)
  }
})

/** Keys whose value reaches nothing although their name is read: the default, or only a check, is in the way. */
const blocked = ['sizes.taskText', 'base']

test('a key is marked as not read yet if and only if nothing reads it', () => {
  const readers = harvestSources().filter(
    ({ path, isTest }) => !isTest && !/^(?:src\/host\/config|src\/core\/setting\.ts|src\/daemon\/demo)/.test(path),
  )
  const isRead = (name: string) => readers.some(({ code }) => new RegExp(`\\b${name}\\b`).test(code))
  const unread = Object.entries(defaultSettings(2)).flatMap(([section, values]) =>
    typeof values !== 'object' || Array.isArray(values)
      ? isRead(section)
        ? []
        : [section]
      : Object.keys(values)
          .filter((key) => !isRead(key) || !isRead(section))
          .map((key) => `${section}.${key.replace(/(?:Ms|NanoUsd|Bytes)$/, '')}`),
  )
  assert.ok(isRead('beatMs') && !isRead('beatMsX'), 'reading is recognised')
  const marked = [
    ...operatorRows.filter(({ meaning }) => meaning.startsWith('*not yet*')),
    ...repositoryRows.filter(({ meaning }) => meaning.startsWith('*not yet*')),
  ].map(({ key }) => key)
  assert.deepEqual(marked.toSorted(), [...unread, ...blocked].toSorted())
})

test('a file made of the keys and values this page names is accepted', () => {
  const wanted = operatorRows.filter(
    ({ default: value, key }) =>
      value.startsWith('`') && /^[a-zA-Z.]+$/.test(key) && !key.includes('NAME') && !key.includes('MODEL'),
  )
  assert.ok(wanted.length > 30)
  const file: Record<string, unknown> = {}
  for (const { key, default: said } of wanted) {
    const text = said.slice(1, -1)
    const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : text === 'false' ? false : text
    const [section = '', name] = key.split('.')
    if (name === undefined) file[section] = value
    else file[section] = { ...(file[section] as object), [name]: value }
  }
  const parsed = operatorSchema.safeParse(file)
  assert.deepEqual(parsed.error?.issues ?? [], [])
})
