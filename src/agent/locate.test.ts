/** Laws of finding a program: what is mounted is the least that works, and what cannot be known is refused with what to do. */
import assert from 'node:assert/strict'
import { isRefusal } from '../core/refusal.ts'
import { chmod, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { programVersion } from '../host/version.ts'
import { realWorld, type World } from '../host/world.ts'
import { insideArgv, locate } from './locate.ts'
import { thisMachine, type Machine } from './machine.ts'
import { adapterNamed } from './registry.ts'

/** A machine of a few files; a value that starts with `->` is a link. */
function machine(files: Record<string, string>, more: Partial<Machine> = {}): Machine {
  const follow = (path: string): string | null => {
    const held = files[path]
    return held === undefined ? null : held.startsWith('->') ? follow(held.slice(2)) : path
  }
  const isFile = (path: string) => follow(path) !== null
  return {
    os: 'linux',
    cpu: 'x64',
    hasAvx2: () => true,
    isFile,
    isProgram: isFile,
    realPath: follow,
    readText: (path, bytes) => files[follow(path) ?? '']?.slice(0, bytes) ?? null,
    list: (path) => [
      ...new Set(
        Object.keys(files)
          .filter((file) => file.startsWith(`${path.replace(/\/$/, '')}/`))
          .map((file) => file.slice(path.replace(/\/$/, '').length + 1).split('/')[0]!),
      ),
    ],
    ...more,
  }
}

const silent: World = {
  ...realWorld(),
  spawn: () => Promise.reject(new Error('nothing may be started to find this one')),
}

const root = '/usr/lib/node_modules'
const manifest = (version: string) => JSON.stringify({ name: 'x', version })

const npm: Record<string, string> = {
  '/usr/bin/claude': `->${root}/@anthropic-ai/claude-code/bin/claude.exe`,
  [`${root}/@anthropic-ai/claude-code/bin/claude.exe`]: 'ELF',
  [`${root}/@anthropic-ai/claude-code/package.json`]: manifest('2.1.330'),
  [`${root}/@anthropic-ai/claude-code/node_modules/@anthropic-ai/claude-code-linux-x64/claude`]: 'ELF',
  [`${root}/@anthropic-ai/claude-code/node_modules/@anthropic-ai/claude-code-linux-x64/package.json`]:
    manifest('2.1.330'),
  '/usr/bin/codex': `->${root}/@openai/codex/bin/codex.js`,
  [`${root}/@openai/codex/bin/codex.js`]: '#!/usr/bin/env node',
  [`${root}/@openai/codex-linux-x64/package.json`]: manifest('0.169.0-linux-x64'),
  [`${root}/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex`]: 'ELF',
  '/usr/bin/gemini': `->${root}/@google/gemini-cli/bundle/gemini.js`,
  [`${root}/@google/gemini-cli/bundle/gemini.js`]: '#!/usr/bin/env node',
  [`${root}/@google/gemini-cli/package.json`]: manifest('0.61.0'),
  '/usr/bin/opencode': `->${root}/opencode-ai/bin/opencode.exe`,
  [`${root}/opencode-ai/bin/opencode.exe`]: 'ELF',
  [`${root}/opencode-linux-x64/package.json`]: manifest('1.18.33'),
  [`${root}/opencode-linux-x64/bin/opencode`]: 'ELF',
  [`${root}/opencode-linux-x64-baseline/package.json`]: manifest('1.18.33'),
  [`${root}/opencode-linux-x64-baseline/bin/opencode`]: 'ELF',
}

const nested = `${root}/@anthropic-ai/claude-code/node_modules/@anthropic-ai/claude-code-linux-x64`
const vendored = `${root}/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl`
const expected = {
  claude: { folder: nested, argv: [`${nested}/claude`], version: '2.1.330' },
  codex: { folder: vendored, argv: [`${vendored}/bin/codex`], version: '0.169.0' },
  gemini: {
    folder: `${root}/@google/gemini-cli`,
    argv: ['node', `${root}/@google/gemini-cli/bundle/gemini.js`],
    version: '0.61.0',
  },
  opencode: {
    folder: `${root}/opencode-linux-x64`,
    argv: [`${root}/opencode-linux-x64/bin/opencode`],
    version: '1.18.33',
  },
}

for (const [name, found] of Object.entries(expected)) {
  test(`${name} from npm: the platform's own program, nothing started to find it, by command and by path alike`, async () => {
    const look = (program: string[] | null) =>
      locate(silent, adapterNamed(name), program, '/bin:/usr/bin', machine(npm))
    assert.deepEqual(await look(null), found)
    assert.deepEqual(await look([name]), found)
    assert.deepEqual(await look([`/usr/bin/${name}`]), found)
    assert.deepEqual(await look([found.argv.at(-1)!]), found)
    assert.deepEqual(await look([name, '--extra']), { ...found, argv: [...found.argv, '--extra'] })
  })

  test(`${name} that is nowhere is refused with how to get it`, async () => {
    const adapter = adapterNamed(name)
    const missing = { refused: 'agent-missing', why: `${name} was not found`, hint: adapter.program.install }
    assert.deepEqual(await locate(silent, adapter, null, '/bin:/usr/bin', machine({})), missing)
    assert.deepEqual(await locate(silent, adapter, null, '', machine(npm)), missing)
    assert.deepEqual(await locate(silent, adapter, [`./${name}`], '/usr/bin', machine(npm)), {
      ...missing,
      why: `./${name} was not found`,
    })
  })
}

test('where we happen to stand is not on PATH: its empty and relative entries are passed over', async () => {
  const here = machine({ claude: 'ELF', 'bin/claude': 'ELF' })
  const found = await locate(silent, adapterNamed('claude'), null, ':bin:.', here)
  assert.equal('refused' in found && found.refused, 'agent-missing')
})

test('a launch script in node_modules/.bin leads to the package beside it', async () => {
  const files = { ...npm, [`${root}/.bin/gemini`]: '#!/bin/sh\nexec node "$basedir/../x.js"' }
  assert.deepEqual(
    await locate(silent, adapterNamed('gemini'), [`${root}/.bin/gemini`], '', machine(files)),
    expected.gemini,
  )
})

test('a script of a version switcher is refused: what it starts cannot be told', async () => {
  const found = await locate(
    silent,
    adapterNamed('claude'),
    null,
    '/shims',
    machine({ '/shims/claude': '#!/bin/sh\nexec x "$@"' }),
  )
  assert.deepEqual(found, {
    refused: 'agent-unclear',
    why: '/shims/claude is a script, and what it starts cannot be told from it',
    hint: 'name the program itself in your settings (families: <family>: program: [/path/to/it])',
  })
})

test('opencode without AVX2 is the baseline build', async () => {
  const old = machine(npm, { hasAvx2: () => false })
  const folder = `${root}/opencode-linux-x64-baseline`
  assert.deepEqual(await locate(silent, adapterNamed('opencode'), null, '/usr/bin', old), {
    folder,
    argv: [`${folder}/bin/opencode`],
    version: '1.18.33',
  })
})

test('the scripted agent is the script that node is given, mounted with its folder', async () => {
  const files = machine({ '/app/dist/scripted-agent.js': 'x' })
  const found = await locate(
    silent,
    adapterNamed('scripted'),
    ['/n/bin/node', '/app/dist/scripted-agent.js'],
    '',
    files,
  )
  assert.deepEqual(found, {
    folder: '/app/dist',
    argv: ['node', '/app/dist/scripted-agent.js'],
    version: programVersion(),
  })
})

test('what is started inside is the same program below the mount, and a lone one is the mount itself', () => {
  const node = '/run/node'
  assert.deepEqual(insideArgv(expected.gemini, '/opt/agent', node), [node, '/opt/agent/bundle/gemini.js'])
  assert.deepEqual(insideArgv({ folder: '/a/claude', argv: ['/a/claude', '/a/claude-x'] }, '/opt/agent', node), [
    '/opt/agent',
    '/a/claude-x',
  ])
})

async function withFiles(files: Record<string, string>, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-locate-')))
  try {
    for (const [name, text] of Object.entries(files)) {
      const path = join(folder, name)
      await mkdir(dirname(path), { recursive: true })
      if (text.startsWith('->')) await symlink(text.slice(2), path)
      else await writeFile(path, text)
      if (!text.startsWith('->')) await chmod(path, 0o755)
    }
    await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

test('on real files: links are resolved, and a folder or a file that may not be executed is no program', () =>
  withFiles(
    {
      'plain/gemini': 'not executable',
      'folder/gemini/x': 'x',
      'bin/gemini': '->../lib/node_modules/@google/gemini-cli/bundle/gemini.js',
      'lib/node_modules/@google/gemini-cli/bundle/gemini.js': '#!/usr/bin/env node',
      'lib/node_modules/@google/gemini-cli/package.json': manifest('0.61.0'),
    },
    async (folder) => {
      await chmod(join(folder, 'plain/gemini'), 0o644)
      const path = ['plain', 'folder', 'bin'].map((each) => join(folder, each)).join(':')
      const home = join(folder, 'lib/node_modules/@google/gemini-cli')
      assert.deepEqual(await locate(silent, adapterNamed('gemini'), null, path, thisMachine()), {
        folder: home,
        argv: ['node', join(home, 'bundle/gemini.js')],
        version: '0.61.0',
      })
    },
  ))

/** A world in which every program is a few words of JavaScript. */
const answering = (program: string): World => {
  const world = realWorld()
  return { ...world, spawn: (spec) => world.spawn({ ...spec, file: process.execPath, args: ['-e', program] }) }
}

test('a program that stands alone is mounted as a file, and asked for its version without anything of ours', async () => {
  const asked = `process.stdout.write(process.env.HOME === '/nonexistent' && Object.keys(process.env).length === 3 ? '2.1.7 (Claude Code)' : 'leak')`
  const files = machine({
    '/home/me/.local/bin/claude': '->/home/me/.local/share/claude/versions/2.1.7',
    '/home/me/.local/share/claude/versions/2.1.7': 'ELF',
  })
  const real = '/home/me/.local/share/claude/versions/2.1.7'
  assert.deepEqual(await locate(answering(asked), adapterNamed('claude'), null, '/home/me/.local/bin', files), {
    folder: real,
    argv: [real],
    version: '2.1.7',
  })
})

test('codex from a release archive is mounted with the tools beside its bin', async () => {
  const files = machine({ '/opt/cx/bin/codex': 'ELF', '/opt/cx/codex-package.json': '{}' })
  assert.deepEqual(
    await locate(
      answering(`console.log('codex-cli 0.169.0')`),
      adapterNamed('codex'),
      ['/opt/cx/bin/codex'],
      '',
      files,
    ),
    {
      folder: '/opt/cx',
      argv: ['/opt/cx/bin/codex'],
      version: '0.169.0',
    },
  )
})

test('a program that tells no version, or does not end, is refused', async () => {
  const files = machine({ '/b/claude': 'ELF' })
  const broken = {
    refused: 'agent-broken',
    why: '/b/claude does not tell its version when asked with --version',
    hint: adapterNamed('claude').program.install,
  }
  const hanging = answering('setInterval(() => {}, 1000)')
  const impatient = {
    ...hanging,
    timer: { ...hanging.timer, after: (_: number, fn: () => void) => hanging.timer.after(30, fn) },
  }
  for (const world of [answering(`console.log('hello')`), impatient, silent])
    assert.deepEqual(await locate(world, adapterNamed('claude'), null, '/b', files), broken)
})

test('with a file of versions a program that stands alone is asked once while it is the same', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-locate-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const program = join(folder, 'claude')
  const versions = join(folder, 'versions.json')
  await writeFile(program, 'ELF', { mode: 0o755 })
  let asked = 0
  const counting = (version: string): World => {
    const world = answering(`console.log('${version} (Claude Code)')`)
    return { ...world, spawn: (spec) => ((asked += 1), world.spawn(spec)) }
  }
  const find = async (version: string) => {
    const found = await locate(counting(version), adapterNamed('claude'), [program], '', thisMachine(), versions)
    return isRefusal(found) ? found.why : found.version
  }
  assert.deepEqual([await find('2.1.7'), await find('2.1.8'), asked], ['2.1.7', '2.1.7', 1])
  await writeFile(program, 'ELF2', { mode: 0o755 })
  assert.deepEqual([await find('2.1.8'), asked], ['2.1.8', 2])
})
