import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { examineToolchain } from './detect.ts'

/** A home with these programs and files in it; answers which folders a tool asks for. */
function home(
  context: TestContext,
  files: Readonly<Record<string, string>>,
  links: Readonly<Record<string, string>> = {},
) {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'tri-agent-shim-')))
  context.after(() => rmSync(root, { recursive: true }))
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
    if (text.startsWith('#!')) chmodSync(join(root, path), 0o755)
  }
  for (const [path, target] of Object.entries(links)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    symlinkSync(target, join(root, path))
  }
  return (tool: string, onPath: string[], pins: Readonly<Record<string, string>> = {}, env = {}) => {
    const path = [...onPath.map((each) => join(root, each)), '/usr/bin'].join(':')
    const settings = { toolchain: [tool], setup: [], gates: [] }
    const own = { HOME: root, PATH: path, XDG_STATE_HOME: '/s', XDG_CONFIG_HOME: '/c', ...env }
    const { folders, missing } = examineToolchain(settings, own, (file) => pins[file] ?? null)
    return [...folders.map((each) => each.replace(root, '~')), ...missing.map(({ why }) => why.replaceAll(root, '~'))]
  }
}

const shim = '#!/usr/bin/env bash\nexec manager exec "$0"\n'
const program = '#!/bin/sh\n'

test('pyenv: the version of the variable, the repository or the account is shown, never the shim', (context) => {
  const ask = home(context, {
    '.pyenv/shims/python3': shim,
    '.pyenv/version': '3.11.2\n',
    '.pyenv/versions/3.11.2/bin/python3': program,
    '.pyenv/versions/3.12.4/bin/python3': program,
    '.pyenv/versions/3.12.11/bin/python3': program,
  })
  const shims = ['.pyenv/shims']
  assert.deepEqual(ask('python3', shims), ['~/.pyenv/versions/3.11.2/bin'])
  assert.deepEqual(ask('python3', shims, { '.python-version': '3.12\n' }), ['~/.pyenv/versions/3.12.11/bin'])
  assert.deepEqual(ask('python3', shims, { '.python-version': '3.12' }, { PYENV_VERSION: '3.12.4' }), [
    '~/.pyenv/versions/3.12.4/bin',
  ])
})

test('asdf and mise: the version .tool-versions says, also under the other name of a tool', (context) => {
  const ask = home(
    context,
    {
      '.asdf/shims/node': shim,
      '.asdf/installs/nodejs/22.1.0/bin/node': program,
      '.asdf/installs/nodejs/20.9.0/bin/node': program,
      '.tool-versions': '# mine\nruby 3.3.0\nnodejs 20.9.0\n',
      '.local/share/mise/installs/node/22.3.0/bin/node': program,
      '.local/bin/mise': program,
    },
    { '.local/share/mise/shims/node': '../../../bin/mise' },
  )
  assert.deepEqual(ask('node', ['.asdf/shims']), ['~/.asdf/installs/nodejs/20.9.0/bin'])
  assert.deepEqual(ask('node', ['.asdf/shims'], { '.tool-versions': 'nodejs 22.1.0' }), [
    '~/.asdf/installs/nodejs/22.1.0/bin',
  ])
  assert.deepEqual(ask('node', ['.local/share/mise/shims'], { 'mise.toml': '[tools]\nnode = "22"\n' }), [
    '~/.local/share/mise/installs/node/22.3.0/bin',
  ])
})

test('rustup: the toolchain of the repository, else of the account', (context) => {
  const ask = home(
    context,
    {
      '.cargo/bin/rustup': program,
      '.rustup/settings.toml': 'default_toolchain = "stable-x86_64-unknown-linux-gnu"\n',
      '.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/cargo': program,
      '.rustup/toolchains/1.80.0-x86_64-unknown-linux-gnu/bin/cargo': program,
    },
    { '.cargo/bin/cargo': 'rustup' },
  )
  assert.deepEqual(ask('cargo', ['.cargo/bin']), ['~/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin'])
  assert.deepEqual(ask('cargo', ['.cargo/bin'], { 'rust-toolchain.toml': '[toolchain]\nchannel = "1.80.0"\n' }), [
    '~/.rustup/toolchains/1.80.0-x86_64-unknown-linux-gnu/bin',
  ])
})

test('a shim for which no version is chosen is missing, and says that it is one', (context) => {
  const ask = home(context, { '.rbenv/shims/ruby': shim, '.rbenv/versions/3.3.0/bin/ruby': program })
  assert.deepEqual(ask('ruby', ['.rbenv/shims']), ['is a shim (~/.rbenv/shims/ruby) for which no version is chosen'])
  assert.deepEqual(ask('ruby', ['.rbenv/shims'], { '.ruby-version': '3.3.0' }), ['~/.rbenv/versions/3.3.0/bin'])
})
