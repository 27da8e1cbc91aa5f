import assert from 'node:assert/strict'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { searchPath } from '../git/fixture.ts'
import { capture } from '../host/process.ts'
import { realWorld } from '../host/world.ts'
import { openArchive, sealArchive, sweepArchives } from './archive.ts'

type Scene = { folder: string; home: string; bundle: string; secret: string }

/** A HOME as a client leaves it, and what a hostile one would add. */
function inScene(body: (scene: Scene) => Promise<void>): () => Promise<void> {
  return async () => {
    const root = mkdtempSync(join(tmpdir(), 'archive-'))
    const scene = {
      folder: join(root, 'archives'),
      home: join(root, 'home'),
      bundle: join(root, 'b'),
      secret: join(root, 's'),
    }
    put(join(scene.home, '.claude/projects/-work/1.jsonl'), 'a session')
    put(join(scene.home, '.claude/other'), 'not a session')
    put(scene.bundle, 'a bundle')
    put(scene.secret, 'of the machine')
    try {
      await body(scene)
    } finally {
      rmSync(root, { recursive: true })
    }
  }
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

const who = { attempt: 'att_1', family: 'anthropic' }
const left = ({ home, bundle }: Scene) => ({ bundle, base: 'b1', home, folders: ['.claude/projects'], session: 'sid' })

test(
  'an archive holds the bundle and the session, 0600 in 0700, and gives both back while its seal holds',
  inScene(async (scene) => {
    const archive = (await sealArchive(scene.folder, who, left(scene)))!
    assert.deepEqual([archive.files, archive.session, archive.base], [2, 'sid', 'b1'])
    const kept = (await openArchive(scene.folder, archive))!
    assert.equal(readFileSync(kept.bundle!, 'utf8'), 'a bundle')
    assert.equal(readFileSync(join(kept.home, '.claude/projects/-work/1.jsonl'), 'utf8'), 'a session')
    assert.deepEqual(readdirSync(join(kept.home, '.claude')), ['projects'])
    for (const each of readdirSync(scene.folder, { recursive: true, withFileTypes: true }))
      assert.equal(
        statSync(join(each.parentPath, each.name)).mode & 0o777,
        each.isDirectory() ? 0o700 : 0o600,
        each.name,
      )
    for (const path of ['work.bundle', 'list.json', 'home/.claude/projects/-work/1.jsonl']) {
      const whole = readFileSync(join(scene.folder, 'att_1', path))
      writeFileSync(join(scene.folder, 'att_1', path), 'x')
      assert.equal(await openArchive(scene.folder, archive), null, path)
      writeFileSync(join(scene.folder, 'att_1', path), whole)
    }
    assert.ok(await openArchive(scene.folder, archive))
  }),
)

test(
  'links, pipes and what has a second name are never taken, and then the session is not gone on with',
  inScene(async (scene) => {
    const { home, secret, folder } = scene
    const at = (name: string) => join(home, '.claude/projects', name)
    symlinkSync(secret, at('link'))
    symlinkSync(dirname(secret), at('folder'))
    const made = await capture(realWorld().spawn, {
      file: 'mkfifo',
      args: [at('pipe')],
      cwd: home,
      env: { PATH: searchPath },
    })
    assert.equal(made.code, 0)
    const plain = (await sealArchive(folder, who, left(scene)))!
    assert.deepEqual([plain.files, plain.session], [2, 'sid'], 'what is no file is left out')
    linkSync(secret, at('hard'))
    const odd = (await sealArchive(folder, who, left(scene)))!
    assert.equal(odd.session, null)
    const all = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
    for (const each of all) assert.doesNotMatch(readFileSync(join(each.parentPath, each.name), 'utf8'), /machine/)
    rmSync(scene.bundle)
    symlinkSync(secret, scene.bundle)
    assert.equal(await sealArchive(folder, who, left(scene)), null, 'a bundle that is a link is none')
  }),
)

test(
  "a folder on the way to the sessions that is a link leads nowhere: the machine's own sessions are not taken for the agent's",
  inScene(async (scene) => {
    const { home, folder } = scene
    const own = join(dirname(home), 'person/.claude')
    put(join(own, 'projects/-home-person/1.jsonl'), 'a session of the machine')
    rmSync(join(home, '.claude'), { recursive: true })
    symlinkSync(own, join(home, '.claude'))
    const archive = (await sealArchive(folder, who, left(scene)))!
    assert.deepEqual([archive.files, archive.session], [1, null])
    assert.deepEqual(readdirSync(join(folder, 'att_1')).toSorted(), ['list.json', 'work.bundle'])
  }),
)

test(
  'nothing to keep makes no archive, and one that nobody names or that is too old is removed',
  inScene(async (scene) => {
    const { folder } = scene
    const nothing = { ...left(scene), bundle: null, folders: ['.codex'] }
    assert.equal(await sealArchive(folder, who, nothing), null)
    assert.deepEqual(readdirSync(folder), [])
    for (const attempt of ['att_1', 'att_2']) await sealArchive(folder, { ...who, attempt }, left(scene))
    const now = statSync(join(folder, 'att_1')).mtimeMs
    const sweep = (named: string[], at: number) =>
      sweepArchives(folder, async () => new Set(named), { at, keptMs: 1000 })
    assert.equal(await sweep(['att_1', 'att_2'], now), 2)
    assert.equal(await sweep(['att_1'], now), 1)
    assert.deepEqual(readdirSync(folder), ['att_1'])
    assert.equal(await sweep(['att_1'], now + 2000), 0)
    assert.deepEqual(readdirSync(folder), [])
  }),
)
