import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { findNode } from './newer-node.ts'

/** A home with programs in it that say they are a Node of this version. */
async function homeWith(nodes: Readonly<Record<string, string>>): Promise<{ home: string } & AsyncDisposable> {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'tri-agent-node-')))
  for (const [path, says] of Object.entries(nodes)) {
    await mkdir(dirname(join(home, path)), { recursive: true })
    await writeFile(join(home, path), `#!/bin/sh\necho '${says}'\n`)
    await chmod(join(home, path), 0o755)
  }
  return { home, [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }) }
}

const found = async (
  nodes: Readonly<Record<string, string>>,
  env: (home: string) => Record<string, string> = () => ({}),
): Promise<string | null> => {
  await using made = await homeWith(nodes)
  const { home } = made
  const node = findNode({ HOME: home, PATH: `${home}/bin`, ...env(home) }, 24, [`${home}/brew`])
  return node === null ? null : node.slice(home.length + 1)
}

test('every place where version managers and Homebrew keep a Node is looked at', async () => {
  const places = [
    '.nvm/versions/node/v24.1.0/bin/node',
    '.local/share/fnm/node-versions/v24.1.0/installation/bin/node',
    'Library/Application Support/fnm/node-versions/v24.1.0/installation/bin/node',
    '.volta/tools/image/node/24.1.0/bin/node',
    '.asdf/installs/nodejs/24.1.0/bin/node',
    '.local/share/mise/installs/node/24.1.0/bin/node',
    'n/n/versions/node/24.1.0/bin/node',
    '.nodenv/versions/24.1.0/bin/node',
    'brew/bin/node',
    'brew/opt/node@24/bin/node',
  ]
  assert.deepEqual(await Promise.all(places.map((place) => found({ [place]: 'v24.1.0' }))), places)
})

test('a folder named by a variable wins over the usual one', async () => {
  const nodes = {
    'elsewhere/versions/node/v25.0.0/bin/node': 'v25.0.0',
    '.nvm/versions/node/v26.0.0/bin/node': 'v26.0.0',
  }
  const node = await found(nodes, (home) => ({ NVM_DIR: `${home}/elsewhere` }))
  assert.equal(node, 'elsewhere/versions/node/v25.0.0/bin/node')
})

test('PATH comes first, then the newest that is kept; numbers are compared, not letters', async () => {
  const nodes = {
    '.nvm/versions/node/v24.9.0/bin/node': 'v24.9.0',
    '.nvm/versions/node/v24.10.0/bin/node': 'v24.10.0',
    '.volta/tools/image/node/24.2.0/bin/node': 'v24.2.0',
  }
  assert.equal(await found(nodes), '.nvm/versions/node/v24.10.0/bin/node')
  assert.equal(await found({ ...nodes, 'bin/node': 'v24.0.1' }), 'bin/node')
})

test('what is too old, says nothing, or only has the name of a new one, is passed over', async () => {
  assert.equal(await found({ 'bin/node': 'v20.20.2', '.nvm/versions/node/v22.0.0/bin/node': 'v22.0.0' }), null)
  assert.equal(await found({ '.nvm/versions/node/v24.0.0/bin/node': 'v18.0.0' }), null)
  assert.equal(await found({ 'bin/node': 'a node' }), null)
  assert.equal(await found({}), null)
})
