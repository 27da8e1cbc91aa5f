/** Odd repositories, typed at as a person does: each is worked with or refused with the sentence that helps, and nothing of it is changed. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createGit } from '../../src/git/subprocess.ts'
import { storesOf } from '../../src/daemon/repository.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const git = createGit(world, { path: '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin' })

/** What the daemon would see of a registered repository's base. */
async function seen(ada: Person, path: string, base: string) {
  const stores = storesOf(ada.paths.repos, { id: 'repo_test', path })
  const tips = await git.refresh(stores, base, 'tri-agent/landing')
  if (isRefusal(tips)) return tips
  return { stores, ...tips, files: await git.listFiles(stores, tips.base) }
}

test('a dirty tree never stops add, is not what is worked on, and stays as it is', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.write('package.json', '{ "half": "done" }\n')
  await ada.write('untracked.txt', 'mine\n')
  const { code, stdout } = await ada.type(['add', 'Sell tea'])
  assert.equal(code, 0)
  assert.match(
    stdout,
    /^Added .*\nIt starts from what is committed on main; what is not committed here stays as it is, and is not seen\.\n/,
  )
  const found = await seen(ada, ada.repository, 'main')
  assert.ok(!isRefusal(found))
  assert.deepEqual(found.files, ['package.json'])
  assert.match((await git.readFile(found.stores, found.base, 'package.json')) ?? '', /"name": "shop"/)
  assert.equal(await readFile(join(ada.repository, 'package.json'), 'utf8'), '{ "half": "done" }\n')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'All of it')
  assert.doesNotMatch((await ada.type(['add', 'Sell coffee'])).stdout, /committed/)
})

test('a sparse checkout is kept as it is, and all of its base is worked with', async () => {
  await using ada = await person(built.program)
  await ada.write('docs/a.md', 'a\n')
  await ada.write('src/b.ts', 'b\n')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'More')
  await ada.git('sparse-checkout', 'set', 'src')
  assert.equal((await ada.type(['init'])).code, 0)
  const found = await seen(ada, ada.repository, 'main')
  assert.ok(!isRefusal(found))
  assert.deepEqual(found.files, ['docs/a.md', 'package.json', 'src/b.ts'])
  await assert.rejects(readFile(join(ada.repository, 'docs/a.md')), { code: 'ENOENT' })
})

test('a base that is neither main nor master, and a tag of the same name, are told apart', async () => {
  await using ada = await person(built.program)
  await ada.git('branch', '--move', 'main', 'trunk')
  await ada.git('tag', 'trunk')
  await ada.write('later.txt', '')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'After the tag')
  const said = await ada.json(['init'])
  assert.equal((said['repository'] as { base: string }).base, 'trunk')
  const found = await seen(ada, ada.repository, 'trunk')
  assert.ok(!isRefusal(found))
  assert.ok(found.files.includes('later.txt'), 'the branch, not the tag')
})

test('a base that is renamed while tasks are open is named with what there is; under its new name the same tasks go on', async () => {
  await using ada = await person(built.program)
  await ada.type(['init'])
  await ada.type(['add', 'Sell tea'])
  await ada.git('branch', '--move', 'main', 'trunk')
  const gone = await seen(ada, ada.repository, 'main')
  assert.ok(isRefusal(gone))
  assert.deepEqual(
    [gone.refused, gone.why, gone.hint],
    ['no-base', 'there is no branch main', 'set base to one of: trunk'],
  )
  assert.equal((await ada.type(['init'])).code, 0)
  const { repositories, counts } = (await ada.json(['status'])) as { repositories: object[]; counts: object }
  assert.deepEqual([repositories, counts], [[{ name: 'shop', path: ada.repository, base: 'trunk' }], { ready: 1 }])
})

test('submodules and contents in Git LFS that are here are found by init and doctor, and those that are not are named with what to type', async () => {
  await using ada = await person(built.program)
  const content = 'painted\n'
  const oid = createHash('sha256').update(content).digest('hex')
  await ada.write('.gitattributes', '*.bin filter=lfs diff=lfs merge=lfs -text\n')
  await ada.write('art.bin', `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${content.length}\n`)
  await ada.git('init', '--quiet', 'lib')
  await ada.git('-C', 'lib', 'commit', '--quiet', '--allow-empty', '--message', 'Begin')
  await ada.write('.gitmodules', '[submodule "lib"]\n\tpath = lib\n\turl = ../lib\n')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Odd things')
  const store = join('.git/lfs/objects', oid.slice(0, 2), oid.slice(2, 4), oid)
  await ada.write(store, content)
  const whole = await ada.type(['init'])
  assert.match(whole.stdout, /^ {2}submodules 1 submodule, read-only: no task can change them$/m)
  assert.match(whole.stdout, /^ {2}Git LFS {4}1 file: gates and reviewers have the contents, authors pointers$/m)
  const checks = async () => {
    const said = (await ada.json(['doctor']))['checks'] as { name: string; state: string; mend: string | null }[]
    return said.flatMap(({ name, state, mend }) => (/^(submodules|Git LFS)$/.test(name) ? [[name, state, mend]] : []))
  }
  await ada.write('tri-agent.yaml', 'gates: [{ name: test, command: "true" }]\n')
  await ada.git('add', 'tri-agent.yaml')
  await ada.git('commit', '--quiet', '--message', 'Gates')
  assert.deepEqual(await checks(), [
    ['submodules', 'ok', null],
    ['Git LFS', 'ok', null],
  ])
  await rm(join(ada.repository, store))
  await rm(join(ada.repository, 'lib/.git'), { recursive: true })
  const { stdout } = await ada.type(['init'])
  assert.match(
    stdout,
    /^! submodules: not in this clone: lib; their folders stay empty \(git submodule update --init --recursive\)$/m,
  )
  assert.match(
    stdout,
    /^! Git LFS: not in this clone: the contents of art\.bin; gates see the pointers \(git lfs fetch\)$/m,
  )
  assert.deepEqual(await checks(), [
    ['submodules', 'warning', 'git submodule update --init --recursive'],
    ['Git LFS', 'warning', 'git lfs fetch'],
  ])
})

test('names with spaces, newlines, other encodings and 255 bytes reach the base that is worked on, each as it is', async () => {
  await using ada = await person(built.program)
  const names = [Buffer.from('a b\n"c"'), Buffer.from([0x66, 0xfc, 0x72]), Buffer.from('x'.repeat(255))]
  await mkdir(ada.repository, { recursive: true })
  for (const name of names) await writeFile(Buffer.concat([Buffer.from(`${ada.repository}/`), name]), 'one\r\ntwo\r\n')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Odd names')
  assert.equal((await ada.type(['init'])).code, 0)
  const found = await seen(ada, ada.repository, 'main')
  assert.ok(!isRefusal(found))
  const folder = join(ada.home, 'checkout')
  await git.checkout(found.stores, found.base, folder)
  for (const name of names)
    assert.equal(await readFile(Buffer.concat([Buffer.from(`${folder}/`), name]), 'utf8'), 'one\r\ntwo\r\n')
})
