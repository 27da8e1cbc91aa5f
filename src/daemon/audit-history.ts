/** Secrets in the history that no agent is meant to see: what an attempt's private clone, with the object store it borrows, gives of them. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRefusal } from '../core/refusal.ts'
import { createGit } from '../git/subprocess.ts'
import { capture } from '../host/process.ts'
import type { World } from '../host/world.ts'
import { makeArea, removeArea } from '../sandbox/area.ts'
import type { Arena } from '../sandbox/arena.ts'
import type { Verdict } from '../sandbox/assault.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { objectsInside } from '../stage/ask.ts'

type Ports = { world: World; sandbox: Sandbox; arena: Arena; path: string }

/** Each hides the secret in a repository and answers how a thief who knows its name asks for it. */
const hidings: readonly { name: string; hide(git: Type, file: Write): Promise<string> }[] = [
  {
    name: 'a secret on another branch',
    async hide(git, write) {
      await git('checkout', '-q', '-b', 'other')
      await write('other.txt')
      await git('add', '-A')
      await git('commit', '-qm', 'Other')
      const id = await git('rev-parse', 'other:other.txt')
      await git('checkout', '-q', 'main')
      return id
    },
  },
  {
    name: 'a secret in a stash',
    async hide(git, write) {
      await write('stashed.txt')
      await git('add', '-A')
      await git('stash', '-q')
      return git('rev-parse', 'stash@{0}:stashed.txt')
    },
  },
  {
    name: 'a secret in a dangling blob',
    async hide(git, write) {
      await write('dangling.txt')
      const id = await git('hash-object', '-w', 'dangling.txt')
      await git('clean', '-qfd')
      return id
    },
  },
  {
    name: 'a secret in a commit that only the reflog has',
    async hide(git, write) {
      await write('undone.txt')
      await git('add', '-A')
      await git('commit', '-qm', 'Undone')
      const id = await git('rev-parse', 'HEAD:undone.txt')
      await git('reset', '-q', '--hard', 'HEAD~1')
      return id
    },
  },
  {
    name: "a secret in a tag's message",
    async hide(git, write) {
      const path = await write('../message')
      await git('tag', '-a', 'v1', '-F', path)
      return git('rev-parse', 'v1')
    },
  },
  {
    name: 'a secret that is staged and not committed',
    async hide(git, write) {
      await write('staged.txt')
      await git('add', '-A')
      return git('rev-parse', ':staged.txt')
    },
  },
]

type Type = (...args: string[]) => Promise<string>
type Write = (name: string) => Promise<string>

/** One verdict each: the control asks the user's own repository, as plain git would share it. */
export async function searchHistory(ports: Ports): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  for (const hiding of hidings) {
    const { name, hide } = hiding
    const place = join(ports.arena.plant, 'areas', ports.world.id('repo'))
    const source = join(place, 'source')
    await mkdir(source, { recursive: true })
    const git = typist(ports, source)
    await git('init', '-q', '-b', 'main')
    await git('commit', '-q', '--allow-empty', '-m', 'Start')
    const id = await hide(git, async (file) => {
      await writeFile(join(source, file), `${ports.arena.secret}\n`)
      return join(source, file)
    })
    const open = (await git('cat-file', '-p', id)).includes(ports.arena.secret)
    const inside = open && (await fromInside(ports, place, id)).includes(ports.arena.secret)
    verdicts.push({ name, group: 'history', ...(open ? { state: inside ? 'breached' : 'held' } : idle) })
    await removeArea({ root: place })
  }
  return verdicts
}

const idle = { state: 'idle', why: 'its control did not fire' } as const

/** git as a person types it, with nothing of this machine's settings. */
const typist =
  ({ world, path, arena }: Ports, cwd: string): Type =>
  async (...args) => {
    const who = ['user.name=Ada', 'user.email=ada@localhost'].flatMap((each) => ['-c', each])
    const env = { PATH: path, HOME: arena.plant, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', LC_ALL: 'C' }
    const done = await capture(world.spawn, { file: 'git', args: [...who, ...args], cwd, env })
    if (done.code !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`)
    return done.stdout.trim()
  }

/** What an attempt's clone says when it is asked for the object, and for everything it has. */
async function fromInside({ world, sandbox, path }: Ports, place: string, id: string): Promise<string> {
  const git = createGit(world, { path })
  const stores = { source: join(place, 'source'), mirror: join(place, 'm.git'), quarantine: join(place, 'q.git') }
  const tips = await git.refresh(stores, 'main', 'tri-agent/landing')
  if (isRefusal(tips)) throw new Error(tips.why)
  const contained = sandbox.contained
  const area = await makeArea(join(place, 'area'))
  await git.clone(stores, tips.base, area.work, contained ? objectsInside : null)
  const from = contained ? git.objectFolders(stores) : []
  const script = `git cat-file -p ${id}; git log --all -p; git stash list -p; git cat-file --batch-all-objects --batch`
  const started = await sandbox.start({
    area,
    argv: ['/bin/sh', '-c', script],
    env: {},
    stdin: null,
    mounts: from.map((each, index) => ({ from: each, to: `${objectsInside}/${index}`, mode: 'ro' })),
    gateway: null,
  })
  let said = ''
  started.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')))
  started.stderr.resume()
  const ended = new Promise((resolve) => started.stdout.once('end', resolve))
  await started.exit
  await started.kill()
  await ended
  return said
}
