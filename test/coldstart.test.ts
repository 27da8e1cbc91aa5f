/**
 * What has to be loaded before a verb can answer, read from the bundle's own account of itself: a guard of the start-up time that looks at no clock.
 * (Measured: zod +65 ms, node:http +45 ms; the whole of `add` is allowed 20 ms more than an empty program.)
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { bundle } from './cli-rig.ts'

type Metafile = {
  outputs: Record<
    string,
    {
      bytes: number
      entryPoint?: string
      inputs: Record<string, unknown>
      imports: { path: string; kind: string; external?: boolean }[]
    }
  >
}

const built = await bundle()
after(() => built[Symbol.asyncDispose]())
const { outputs } = JSON.parse(readFileSync(built.metafile, 'utf8')) as Metafile

/** Everything loaded with these sources, without what they load by import(). */
function closure(...sources: string[]) {
  const chunks = new Set<string>()
  const queue = sources.map((source) => {
    const found = Object.keys(outputs).find((path) => outputs[path]!.entryPoint === source)
    assert.ok(found, `${source} is no chunk of its own: nothing loads it by import()`)
    return found
  })
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const output = outputs[path]
    if (chunks.has(path) || !output) continue
    chunks.add(path)
    queue.push(...output.imports.filter(({ kind }) => kind === 'import-statement').map((each) => each.path))
  }
  const all = [...chunks].map((path) => outputs[path]!)
  return {
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    names: new Set([
      ...all.flatMap(({ inputs }) => Object.keys(inputs)),
      ...all.flatMap(({ imports }) => imports.filter(({ external }) => external).map(({ path }) => path)),
    ]),
  }
}

const heavy = /\/(?:zod|yaml|genai-prices)\/|^node:(?:http|https|http2|tls)$|^https?$/
const before = ['src/cli/main.ts', 'src/cli/program.ts', 'src/host/environment.ts']
/** Unminified; commander alone is 126 kB. */
const most = 200_000

test('the program answers --version with at most 200 kB loaded and nothing heavy among it', () => {
  const { bytes, names } = closure(...before)
  assert.ok(
    [...names].some((name) => name.includes('commander')),
    'the closure was really read',
  )
  assert.ok(bytes <= most, `${bytes} bytes`)
  assert.deepEqual(
    [...names].filter((name) => heavy.test(name)),
    [],
  )
})

for (const verb of ['add', 'list', 'status', 'decide', 'show', 'log'])
  test(`the file of ${verb} loads nothing heavy either`, () => {
    const { bytes, names } = closure(...before, `src/cli/${verb}.ts`)
    assert.ok(names.has('node:sqlite'), 'the closure was really read')
    assert.ok(bytes <= most + 80_000, `${bytes} bytes`)
    assert.deepEqual(
      [...names].filter((name) => heavy.test(name)),
      [],
    )
  })

test('what is heavy is in the bundle, so that not finding it on the fast path means something', () => {
  const names = Object.values(outputs).flatMap(({ inputs, imports }) => [
    ...Object.keys(inputs),
    ...imports.map(({ path }) => path),
  ])
  const missing = [/\/zod\//, /\/yaml\//, /\/genai-prices\//, /^node:http$/].filter(
    (each) => !names.some((name) => each.test(name)),
  )
  assert.deepEqual(missing, [])
})
