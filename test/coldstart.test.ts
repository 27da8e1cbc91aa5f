/** The start of the program, guarded without a clock: what the way in pulls in before a verb is chosen, and what the quick verbs add to it. */
import assert from 'node:assert/strict'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Metafile } from 'esbuild'
import { searchPath } from '../src/git/fixture.ts'
import { findPaths } from '../src/host/path.ts'
import { capture } from '../src/host/process.ts'
import { realWorld } from '../src/host/world.ts'
import { openDatabase } from '../src/store/database.ts'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'tri-cold-'))
/** A state folder short enough for a socket in it: a longer one is named by a hash, which the usual way must not wait for. */
const usual = { HOME: folder, XDG_STATE_HOME: folder }
let outputs: Metafile['outputs'] = {}

/** facts of a cold start: each of these alone costs more than the program may. `zod` +65 ms, the price table its parse. */
const slow = ['/zod/', '/yaml/', '/@clack/', '/hono/', '/genai-prices', '/sim/']
/** Modules of Node that cost milliseconds each, `http` 45 of them: loaded at the first call (tools/build.ts). */
const slowOfNode = [
  'child_process',
  'crypto',
  'fs/promises',
  'http',
  'https',
  'http2',
  'net',
  'os',
  'stream',
  'tls',
  'zlib',
]
/** 170 kB unminified, of which commander is 71 without its comments. */
const mostBytes = 170_000
const quickVerbs = ['add', 'list', 'status', 'decide', 'show', 'log']

before(async () => {
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'))
  const meta = join(folder, 'meta.json')
  const built = await capture(realWorld().spawn, {
    file: process.execPath,
    args: ['tools/build.ts', join(folder, 'dist'), meta],
    cwd: root,
    env: { PATH: searchPath },
  })
  assert.equal(built.code, 0, built.stderr)
  outputs = (JSON.parse(readFileSync(meta, 'utf8')) as Metafile).outputs
})
after(() => rmSync(folder, { recursive: true, force: true }))

/** What is loaded with a chunk before a line of it is executed: itself and everything it imports statically, to the end. */
function closure(entries: readonly string[]): {
  bytes: number
  chunks: string[]
  sources: string[]
  builtins: string[]
} {
  const seen = new Set<string>()
  const builtins = new Set<string>()
  const queue = [...entries]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    for (const { path: next, kind, external } of outputs[path]!.imports) {
      if (kind !== 'import-statement') continue
      if (external) builtins.add(next)
      else queue.push(next)
    }
  }
  const chunks = [...seen]
  return {
    bytes: chunks.reduce((sum, path) => sum + outputs[path]!.bytes, 0),
    chunks,
    sources: chunks.flatMap((path) => Object.keys(outputs[path]!.inputs)),
    builtins: [...builtins],
  }
}

const chunkOf = (source: string): string => {
  const found = Object.entries(outputs).find(([, output]) => output.entryPoint === source)
  assert.ok(found, `${source} is no chunk of its own: something imports it statically, so every verb loads it`)
  return found[0]
}

/** Also an import of a module of Node past tools/build.ts: it reads every lazy part of what it names. */
const slowIn = ({ sources, builtins }: ReturnType<typeof closure>): string[] => [
  ...sources.map((each) => `/${each}`).filter((each) => slow.some((part) => each.includes(part))),
  ...builtins,
]

test('the way in and the table of verbs stay below 170 kB and load nothing slow', () => {
  const program = closure([chunkOf('src/cli/main.ts'), chunkOf('src/cli/program.ts')])
  assert.deepEqual(slowIn(program), [])
  assert.ok(program.bytes <= mostBytes, `${program.bytes} bytes, at most ${mostBytes}`)
  assert.ok(program.sources.includes('src/cli/verb.ts'), 'the harvest is not empty')
  assert.ok(
    program.sources.some((each) => each.includes('/commander/')),
    'commander is in it, or it was not harvested',
  )
})

test('the main file imports nothing at the top, or an old Node dies before the sentence that helps', () => {
  const source = readFileSync(join(root, 'src/cli/main.ts'), 'utf8')
  assert.deepEqual(source.match(/^import .*/gm), null)
  const { chunks, bytes } = closure([chunkOf('src/cli/main.ts')])
  assert.deepEqual(
    chunks.map((path) => outputs[path]!.entryPoint),
    ['src/cli/main.ts'],
  )
  assert.ok(bytes < 2000, `${bytes} bytes`)
})

for (const verb of quickVerbs)
  test(`${verb} loads nothing slow before it begins`, () => {
    const all = closure([chunkOf('src/cli/program.ts'), chunkOf(`src/cli/${verb}.ts`)])
    assert.deepEqual(slowIn(all), [])
    assert.ok(all.sources.includes('src/store/database.ts'), 'the harvest follows imports')
    assert.ok(all.bytes <= mostBytes + 80_000, `${all.bytes} bytes`)
  })

/** What a line has loaded of Node when it ends. */
async function loadedBy(line: readonly string[]): Promise<string[]> {
  const hook = join(folder, 'hook.mjs')
  writeFileSync(
    hook,
    `process.on('exit', () => process.getBuiltinModule('fs').writeSync(2, '\\n' + JSON.stringify(process.moduleLoadList)))`,
  )
  const main = join(folder, 'dist/main.js')
  const args = ['--import', hook, main, ...line]
  const { stderr } = await capture(realWorld().spawn, {
    file: process.execPath,
    args,
    cwd: folder,
    env: usual,
  })
  const loaded = JSON.parse(stderr.slice(stderr.lastIndexOf('\n'))) as string[]
  return loaded.flatMap((each) => (each.startsWith('NativeModule ') ? [each.slice('NativeModule '.length)] : []))
}

test('programs that ask for the version or the status wait for nothing slow of Node', async () => {
  openDatabase(findPaths(usual).database).close()
  const [bare, ...loaded] = await Promise.all(
    [['--help'], ['--version'], ['status'], ['status', '--json']].map(loadedBy),
  )
  for (const each of loaded)
    assert.deepEqual(
      slowOfNode.filter((name) => each.includes(name)),
      [],
    )
  assert.ok(loaded[1]!.includes('sqlite') && !bare!.includes('sqlite'), 'the harvest is not empty')
})

test('up in the foreground is one file beside the way in, and reads the price table as text', async () => {
  const alone = join(folder, 'alone')
  mkdirSync(join(alone, 'dist'), { recursive: true })
  copyFileSync(join(root, 'package.json'), join(alone, 'package.json'))
  const { chunks } = closure(['src/cli/main.ts', 'src/host/environment.ts', 'lazy:node:module'].map(chunkOf))
  assert.ok(chunks.length < 8, 'what says where compiled code is kept is little')
  for (const name of [...chunks.map((path) => basename(path)), 'quick-up.js', 'migrations', 'prompt'])
    cpSync(join(folder, 'dist', name), join(alone, 'dist', name), { recursive: true })
  const env = { HOME: alone, PATH: searchPath }
  for (const words of [[], ['--trust', '--json'], ['--unattended']]) {
    const args = [join(alone, 'dist/main.js'), 'up', ...words]
    const { code, stdout, stderr } = await capture(realWorld().spawn, { file: process.execPath, args, cwd: alone, env })
    assert.equal(code, 1)
    assert.match(`${stdout}${stderr}`, /no configured agent can start|cannot hold an agent/)
  }
  const text = readFileSync(join(folder, 'dist/quick-up.js'), 'utf8')
  assert.match(text, /JSON\.parse\(text\w*\)/)
  assert.ok(text.length < 1_500_000, `${text.length} bytes`)
})

test('what is slow is somewhere in the bundle, so that not finding it on the quick way means something', () => {
  const all = closure(Object.keys(outputs))
  const missing = ['/zod/', '/yaml/', '/@clack/', '/genai-prices', '/sim/', '/lazy:node:http'].filter(
    (part) => !all.sources.some((each) => `/${each}`.includes(part)),
  )
  assert.deepEqual(missing, [])
})

test('a slow library that is drawn in is seen', () => {
  const slowChunk = Object.entries(outputs).find(([, { inputs }]) =>
    Object.keys(inputs).some((each) => each.includes('/zod/')),
  )
  assert.ok(slowChunk, 'zod is in the bundle')
  assert.notDeepEqual(slowIn(closure([slowChunk[0]])), [])
  assert.equal(
    dirname(slowChunk[0]),
    dirname(chunkOf('src/cli/main.ts')),
    'chunks lie flat, so that files beside them are found',
  )
})
