/** keys: where a key rests, what is said of it, and that it is nowhere else. The keyrings are stand-ins that write down all they are given. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { findKeyring } from '../../src/host/keyring.ts'
import { readStored } from '../../src/host/key-store.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { searchPath } from '../../src/git/fixture.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const key = 'sk-ant-api03-canary-0123456789-LAST'

/** A keyring's command that keeps values in files and writes down its arguments and its whole environment. */
const standIn = (vault: string, body: string) =>
  `#!/bin/sh\n{ echo "ARGS $*"; env; } >> '${vault}/seen'\nvault='${vault}'\n${body}\n`

const secretTool = `case $1 in
store) shift 2; cat > "$vault/$4" ;;
lookup) cat "$vault/$5" 2>/dev/null ;;
clear) rm -f "$vault/$5" ;;
esac`

const security = `case $1 in
-i) read -r line; name=\${line#*-a \\"}; name=\${name%%\\"*}; key=\${line##*-w \\"}; printf %s "\${key%\\"}" > "$vault/$name" ;;
find-generic-password) cat "$vault/$3" 2>/dev/null ;;
delete-generic-password) rm -f "$vault/$3" ;;
esac`

async function withKeyring(ada: Person, name: 'secret-tool' | 'security', text: string) {
  const vault = join(ada.home, 'vault')
  const file = join(ada.home, 'tools', name)
  for (const folder of [vault, dirname(file)]) await mkdir(folder, { recursive: true })
  await writeFile(file, standIn(vault, text))
  await chmod(file, 0o755)
  const env = { PATH: `${dirname(file)}:${searchPath}`, DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere' }
  return { vault, env, seen: () => readFileSync(join(vault, 'seen'), 'utf8') }
}

/** Every file below a home that holds the key, as its path from there. */
function filesWithKey(home: string): string[] {
  return readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile() && readFileSync(join(each.parentPath, each.name)).includes(key))
    .map((each) => join(each.parentPath, each.name).slice(home.length + 1))
}

const inFile = '.local/state/tri-agent-keys/anthropic.json'

test('without a keyring a key rests in one file, 0600 in a folder 0700 that backups leave out, and is never said again', async () => {
  await using ada = await person(built.program)
  const set = await ada.type(['keys', 'set', 'anthropic', '--from-file', '-'], { stdin: `${key}\n` })
  assert.deepEqual([set.code, set.stderr], [0, ''])
  assert.match(set.stdout, /^anthropic: kept in .*tri-agent-keys\/anthropic\.json, which only you can read/)
  assert.deepEqual(filesWithKey(ada.home), [inFile])
  assert.equal(statSync(join(ada.home, inFile)).mode & 0o777, 0o600)
  assert.equal(statSync(ada.paths.keys).mode & 0o777, 0o700)
  assert.match(
    readFileSync(join(ada.paths.keys, 'CACHEDIR.TAG'), 'utf8'),
    /^Signature: 8a477f597d28d172789f06886806bc55\n/,
  )
  const list = await ada.type(['keys', 'list'])
  assert.match(list.stdout, /^anthropic\s+file\s+…LAST\s+\d+s\s+not configured$/m)
  const json = await ada.type(['keys', 'list', '--json'])
  for (const { stdout, stderr } of [set, list, json]) assert.ok(!(stdout + stderr).includes('canary'))
  const removed = await ada.type(['keys', 'remove', 'anthropic'])
  assert.deepEqual([removed.code, filesWithKey(ada.home)], [0, []])
  assert.equal((await ada.type(['keys', 'remove', 'anthropic'])).code, 1)
})

test('where there is a keyring the key is in it alone: by stdin, in no argument, no variable and no file of ours', async () => {
  await using ada = await person(built.program)
  const { vault, env, seen } = await withKeyring(ada, 'secret-tool', secretTool)
  const set = await ada.type(['keys', 'set', 'anthropic', '--from-env', 'WORK'], { env: { ...env, WORK: key } })
  assert.deepEqual([set.code, set.stderr], [0, ''])
  assert.deepEqual(filesWithKey(ada.home), ['vault/anthropic'])
  assert.equal(readFileSync(join(vault, 'anthropic'), 'utf8'), key)
  assert.match(seen(), /^ARGS store --label=tri-agent: key of anthropic service tri-agent name anthropic$/m)
  assert.match(seen(), /^ARGS lookup /m)
  assert.match(seen(), /^DBUS_SESSION_BUS_ADDRESS=/m, 'the environment was written down')
  const ports = { world, env: { ...env, HOME: ada.home }, folder: ada.paths.keys }
  assert.deepEqual(await readStored(ports, 'anthropic'), { key })
  await ada.type(['keys', 'remove', 'anthropic'], { env })
  assert.deepEqual([existsSync(join(vault, 'anthropic')), existsSync(join(ada.home, inFile))], [false, false])
})

test("macOS' keyring is told its command over stdin; a key it could misread goes into the file", async () => {
  await using ada = await person(built.program)
  const { env, seen } = await withKeyring(ada, 'security', security)
  const keyring = findKeyring(world, { ...env, HOME: ada.home }, 'darwin')!
  assert.deepEqual([await keyring.put('anthropic', key), await keyring.get('anthropic')], [true, key])
  assert.equal(await keyring.put('anthropic', `${key}"`), false)
  await keyring.remove('anthropic')
  assert.equal(await keyring.get('anthropic'), null)
  assert.ok(!seen().includes('canary'))
  assert.match(seen(), /^ARGS -i$/m)
})

test('a keyring that does not give back what it was given is not trusted: the key rests in the file', async () => {
  await using ada = await person(built.program)
  const { env } = await withKeyring(ada, 'secret-tool', 'exit 1')
  assert.equal((await ada.type(['keys', 'set', 'anthropic', '--from-file', '-'], { stdin: key, env })).code, 0)
  assert.deepEqual(filesWithKey(ada.home), [inFile])
  const other = await person(built.program)
  await using grace = other
  const works = await withKeyring(grace, 'secret-tool', secretTool)
  await grace.type(['keys', 'set', 'anthropic', '--from-file', '-', '--in-file'], { stdin: key, env: works.env })
  assert.deepEqual(filesWithKey(grace.home), [inFile], '--in-file leaves the keyring alone')
})

test('a command is kept as a command, executed at each need, and nothing it prints is kept', async () => {
  await using ada = await person(built.program)
  const source = join(ada.home, 'outside')
  await writeFile(source, `${key}\n`)
  const command = `cat '${source}'`
  assert.equal((await ada.type(['keys', 'set', 'anthropic', '--from-command', command])).code, 0)
  assert.deepEqual(filesWithKey(ada.home), ['outside'])
  const ports = { world, env: { HOME: ada.home, PATH: searchPath }, folder: ada.paths.keys }
  assert.deepEqual(await readStored(ports, 'anthropic'), { key })
  await writeFile(source, 'sk-ant-another\n')
  assert.deepEqual(await readStored(ports, 'anthropic'), { key: 'sk-ant-another' })
  await rm(source)
  const gone = await readStored(ports, 'anthropic')
  assert.deepEqual(isRefusal(gone) && [gone.refused, gone.why], [
    'key-command',
    `the command that tells the key ended with exit 1: ${command}`,
  ])
  const wrong = await ada.type(['keys', 'set', 'openai', '--from-command', 'echo two words'])
  assert.deepEqual([wrong.code, existsSync(join(ada.paths.keys, 'openai.json'))], [1, false])
})

test('what cannot be right is refused with what to type, keeps nothing, and repeats no key', async () => {
  await using ada = await person(built.program)
  const cases: [args: string[], stdin: string | null, says: RegExp][] = [
    [
      ['set', 'openai', '--from-file', '-'],
      key,
      /looks like a key of anthropic, not of openai\n {2}→ tri-agent keys set anthropic/,
    ],
    [['set', 'anthropic', '--from-file', '-'], 'sk-ant-oat01-canary-abcdef', /subscription's token/],
    [['set', 'anthropic', '--from-file', '-'], '', /nothing was given/],
    [['set', 'anthropic', '--from-env', 'NONE'], null, /NONE is not set/],
    [['set', 'anthropic', '--from-file', 'none.txt'], null, /none\.txt cannot be read \(ENOENT\)/],
    [['set', 'anthropic', '--from-env', 'A', '--from-file', 'b'], null, /say one of/],
    [['set', 'anthropic'], null, /there is no terminal to ask at\n {2}→ tri-agent keys set anthropic --from-env VAR/],
    [['set', 'antropic', '--from-file', '-'], key, /did you mean anthropic\?/],
    [['set'], null, /say whose key/],
    [['set', key.toLowerCase()], null, /a key is never typed into a command/],
    [['set', 'anthropic', key], null, /takes fewer words/],
    [['remove', 'mistral'], null, /no key is stored for mistral/],
  ]
  for (const [args, stdin, says] of cases) {
    const said = await ada.type(['keys', ...args], { stdin: stdin ?? '' })
    assert.notEqual(said.code, 0, args.join(' '))
    assert.match(said.stderr, says)
    assert.ok(!(said.stdout + said.stderr).includes('canary'), args.join(' '))
  }
  assert.deepEqual(filesWithKey(ada.home), [])
  const forced = await ada.type(['keys', 'set', 'openai', '--from-file', '-', '--force'], { stdin: key })
  assert.deepEqual([forced.code, filesWithKey(ada.home)], [0, ['.local/state/tri-agent-keys/openai.json']])
})

test('keys list says what each key is used for, and what wins over it', async () => {
  await using ada = await person(built.program)
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  await writeFile(
    ada.paths.configFile,
    'families:\n  anthropic: { models: claude-opus-5-5 }\n  openai: { models: gpt-6-sol }\n  google: { keyFrom: { stored: work }, models: gemini-3.8-flash }\n',
  )
  for (const name of ['anthropic', 'openai', 'work'])
    await ada.type(['keys', 'set', name, '--from-command', 'echo 0123456789abcdef'])
  const { stdout } = await ada.type(['keys', 'list', '--json'], { env: { OPENAI_API_KEY: 'canary' } })
  const { keys } = JSON.parse(stdout) as {
    keys: { name: string; in: string; usedBy: object | null; why: string | null }[]
  }
  assert.deepEqual(
    keys.map(({ name, in: place, usedBy, why }) => [name, place, usedBy ?? why]),
    [
      ['anthropic', 'command', { agent: 'claude', models: ['claude-opus-5-5'] }],
      ['openai', 'command', 'env OPENAI_API_KEY wins'],
      ['openai', 'env OPENAI_API_KEY', { agent: 'codex', models: ['gpt-6-sol'] }],
      ['work', 'command', { agent: 'gemini', models: ['gemini-3.8-flash'] }],
    ],
  )
  assert.ok(!stdout.includes('canary'))
})

test('a file of keys that others can read is not read', async () => {
  await using ada = await person(built.program)
  await ada.type(['keys', 'set', 'anthropic', '--from-file', '-'], { stdin: key })
  await chmod(join(ada.home, inFile), 0o644)
  const read = await readStored({ world, env: { HOME: ada.home }, folder: ada.paths.keys }, 'anthropic')
  assert.deepEqual(isRefusal(read) && [read.refused, read.hint], [
    'config-unsafe',
    `chmod 600 ${join(ada.home, inFile)}`,
  ])
})

test('keys set, then init: the family is configured and its key found, without a variable anywhere', async () => {
  await using ada = await person(built.program)
  await ada.type(['keys', 'set', 'anthropic', '--from-file', '-'], { stdin: key })
  const said = await ada.json(['init'])
  const families = said['families'] as { family: string; key: object | null }[]
  assert.deepEqual(
    families.map((each) => [each.family, each.key]),
    [
      ['anthropic', { stored: 'anthropic' }],
      ['openai', null],
      ['google', null],
    ],
  )
  const shown = await ada.type(['config', 'show', '--origin'])
  assert.match(shown.stdout, /^families\.anthropic\.keyFrom +stored as anthropic +keys set$/m)
  assert.deepEqual(filesWithKey(ada.home), [inFile])
})
