/**
 * What models and the real things have in common: the behaviour that the simulation relies on, written against the ports alone and held to both. What a
 * model does not have (odd modes, hostile packs, containment itself) is in the tests of the rooms.
 */
import assert from 'node:assert/strict'
import type { AgentEnd } from '../../src/agent/agent.ts'
import { isRefusal } from '../../src/core/refusal.ts'
import type { Git, RepoStores, Sha } from '../../src/git/git.ts'
import type { Contained, Outermost } from '../../src/sandbox/sandbox.ts'

export type Law = (says: string, hold: () => Promise<void>) => void

export type GitRig = AsyncDisposable & {
  git: Git
  stores: RepoStores
  /** The commit on `main`: `a.txt` and `b.txt`, a line each. */
  start: Sha
  /** A person changes files of a branch. */
  commit(branch: string, files: Record<string, string>): Promise<Sha>
  /** A person has a branch in a work tree. */
  checkOut(name: string): Promise<void>
  /** What an agent does in a private clone at `commit`, handed over as a bundle. */
  attempt(commit: Sha, files: Record<string, string>): Promise<string>
  /** A path below a folder of its own, where nothing is. */
  place(name: string): string
  write(file: string, text: string): void
  read(file: string): string
}

const target = 'tri-agent/landing'
const refusedAs = (answer: unknown): string | null => (isRefusal(answer) ? answer.refused : null)

/** Holds a git to what the simulation relies on. */
export function gitConforms(law: Law, open: () => Promise<GitRig>): void {
  const on = (says: string, hold: (rig: GitRig) => Promise<void>) =>
    law(says, async () => {
      await using rig = await open()
      await hold(rig)
    })

  on('the tips of base and target are told; no target is null, no base is refused', async ({ git, stores, start }) => {
    assert.deepEqual(await git.refresh(stores, 'main', target), { base: start, target: null })
    assert.equal(refusedAs(await git.refresh(stores, 'nothing', target)), 'no-base')
  })

  on('files of a commit are read, listed, checked out; the same files are the same tree', async (rig) => {
    const { git, stores, start } = rig
    await git.refresh(stores, 'main', target)
    assert.deepEqual(
      [await git.readFile(stores, start, 'a.txt'), await git.readFile(stores, start, 'c.txt')],
      ['one\n', null],
    )
    assert.deepEqual((await git.listFiles(stores, start)).toSorted(), ['a.txt', 'b.txt'])
    const folder = rig.place('tree')
    await git.checkout(stores, start, folder)
    assert.equal(rig.read(`${folder}/b.txt`), 'one\n')
    const there = await rig.commit('main', { 'a.txt': 'two\n' })
    const back = await rig.commit('main', { 'a.txt': 'one\n' })
    await git.refresh(stores, 'main', target)
    assert.notEqual(await git.treeOf(stores, there), await git.treeOf(stores, start))
    assert.equal(await git.treeOf(stores, back), await git.treeOf(stores, start))
    assert.deepEqual(
      [await git.isAncestor(stores, start, back), await git.isAncestor(stores, back, start)],
      [true, false],
    )
  })

  on(
    'what an attempt hands over becomes a candidate with what it changes; nothing, garbage and other work do not',
    async (rig) => {
      const { git, stores, start } = rig
      await git.refresh(stores, 'main', target)
      const bundle = await rig.attempt(start, { 'a.txt': 'mine\n', 'c.txt': 'new\n' })
      const candidate = await git.intake(stores, bundle, start, 'task_1/1')
      if (isRefusal(candidate)) return assert.fail(candidate.why)
      const { base, changes, added, removed } = candidate
      assert.deepEqual(
        { base, changes: changes.map(({ path, status }) => `${status} ${path}`), added, removed },
        { base: start, changes: ['modified a.txt', 'added c.txt'], added: 2, removed: 1 },
      )
      assert.deepEqual(await git.listCandidates(stores), ['task_1/1'])
      await git.dropCandidates(stores, ['task_1/1'])
      assert.deepEqual(await git.listCandidates(stores), [])
      assert.equal(refusedAs(await git.intake(stores, rig.place('none'), start, 'task_1/2')), 'no-bundle')
      const garbage = rig.place('garbage')
      rig.write(garbage, 'not a bundle')
      assert.equal(refusedAs(await git.intake(stores, garbage, start, 'task_1/3')), 'unclean')
      const later = await rig.commit('main', { 'b.txt': 'later\n' })
      await git.refresh(stores, 'main', target)
      const stranger = await rig.attempt(start, { 'a.txt': 'other\n' })
      assert.equal(refusedAs(await git.intake(stores, stranger, later, 'task_1/4')), 'unclean')
    },
  )

  on(
    'two who change different files merge, two who change the same line conflict, what is in already changes nothing',
    async (rig) => {
      const { git, stores, start } = rig
      await git.refresh(stores, 'main', target)
      const mine = await git.intake(stores, await rig.attempt(start, { 'a.txt': 'mine\n' }), start, 'task_1/1')
      if (isRefusal(mine)) return assert.fail(mine.why)
      const beside = await rig.commit('main', { 'b.txt': 'theirs\n' })
      await git.refresh(stores, 'main', target)
      const merged = await git.mergeTree(stores, beside, mine.commit)
      if (isRefusal(merged)) return assert.fail(merged.why)
      assert.equal(await git.readFile(stores, beside, 'a.txt'), 'one\n')
      assert.deepEqual(await git.changedPaths(stores, await git.treeOf(stores, beside), merged.tree), ['a.txt'])
      assert.match(await git.diff(stores, start, mine.commit), /-one\n(?:.*\n)*?\+mine\n/)
      assert.deepEqual(await git.mergeTree(stores, beside, start), { tree: await git.treeOf(stores, beside) })
      const against = await rig.commit('main', { 'a.txt': 'against\n' })
      await git.refresh(stores, 'main', target)
      assert.equal(refusedAs(await git.mergeTree(stores, against, mine.commit)), 'conflict')
    },
  )

  on('a landing moves the target once, from where it was expected, and never under a work tree', async (rig) => {
    const { git, stores, start } = rig
    await git.refresh(stores, 'main', target)
    const mine = await git.intake(stores, await rig.attempt(start, { 'a.txt': 'mine\n' }), start, 'task_1/1')
    if (isRefusal(mine)) return assert.fail(mine.why)
    const commit = { tree: mine.tree, parent: start, message: 'Do it\n\nTask: task_1\n', at: 1_767_225_600_000 }
    const made = await git.commitTree(stores, commit)
    assert.equal(await git.commitTree(stores, commit), made, 'the same input is the same commit')
    assert.equal(refusedAs(await git.land(stores, target, start, made)), 'moved', 'it is not there yet')
    assert.deepEqual(await git.land(stores, target, null, made), { landed: true })
    assert.equal(refusedAs(await git.land(stores, target, null, made)), 'moved', 'a second time')
    assert.deepEqual(await git.refresh(stores, 'main', target), { base: start, target: made })
    const [newest] = await git.history(stores, target, start)
    assert.deepEqual(
      [newest?.commit, newest?.tree, newest?.parents, /^Task: task_1$/m.test(newest?.message ?? '')],
      [made, mine.tree, [start], true],
    )
    const next = await git.commitTree(stores, { ...commit, parent: made, at: commit.at + 1000 })
    await rig.checkOut(target)
    assert.equal(refusedAs(await git.land(stores, target, made, next)), 'checked-out')
    await rig.checkOut('main')
    assert.deepEqual(await git.land(stores, target, made, next), { landed: true })
  })
}

export type Deed = 'says hello and ends with 3' | 'sleeps' | 'sleeps and ignores SIGTERM' | 'leaves a mark'

export type SandboxRig = AsyncDisposable & {
  /** Starts a program that does this. */
  start(deed: Deed, born?: (outermost: Outermost) => Promise<void>): Promise<Contained>
  /** Lets what can happen within so many milliseconds happen. */
  pass(ms: number): Promise<void>
  isAlive(process: Outermost): boolean
  hasMark(): boolean
}

async function textOf(stream: Contained['stdout']): Promise<string> {
  let text = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString('utf8')
  return text
}

/** Holds a sandbox to what the simulation relies on. */
export function sandboxConforms(law: Law, open: () => Promise<SandboxRig>): void {
  const on = (says: string, hold: (rig: SandboxRig) => Promise<void>) =>
    law(says, async () => {
      await using rig = await open()
      await hold(rig)
    })
  const until = async <T>(rig: SandboxRig, promise: Promise<T>): Promise<T> => {
    const state = { over: false }
    void promise.finally(() => (state.over = true)).catch(() => {})
    for (let turns = 0; !state.over && turns < 400; turns++) await rig.pass(50)
    return promise
  }

  on('what a program prints is heard to its end, and how it ended is told', async (rig) => {
    const contained = await until(rig, rig.start('says hello and ends with 3'))
    const ended = Promise.all([textOf(contained.stdout), contained.exit])
    assert.deepEqual(await until(rig, ended), ['hello\n', { code: 3, signal: null }])
    assert.equal((await until(rig, contained.kill())).survivors, 0)
    assert.equal(rig.isAlive(contained), false)
  })

  on(
    'a program asked to end ends; one that does not listen is killed, and a kill may be asked for twice',
    async (rig) => {
      const polite = await until(rig, rig.start('sleeps'))
      polite.stdout.resume()
      await rig.pass(300)
      polite.stop('SIGTERM')
      assert.deepEqual(await until(rig, polite.exit), { code: 143, signal: null })
      const deaf = await until(rig, rig.start('sleeps and ignores SIGTERM'))
      deaf.stdout.resume()
      await rig.pass(500)
      deaf.stop('SIGTERM')
      await rig.pass(500)
      assert.equal(rig.isAlive(deaf), true)
      const [once, twice] = await until(rig, Promise.all([deaf.kill(), deaf.kill()]))
      assert.deepEqual([once.survivors, twice.survivors, rig.isAlive(deaf)], [0, 0, false])
    },
  )

  on(
    'whoever writes it down knows it before the program does anything, and nothing is left where that fails',
    async (rig) => {
      const seen: boolean[] = []
      const written = rig.start('leaves a mark', async (outermost) => {
        await rig.pass(300)
        seen.push(rig.isAlive(outermost), rig.hasMark())
      })
      const contained = await until(rig, written)
      contained.stdout.resume()
      await until(rig, contained.exit)
      assert.deepEqual([seen, rig.hasMark()], [[true, false], true])
      const known: Outermost[] = []
      const failing = rig.start('sleeps', async (outermost) => {
        known.push(outermost)
        throw new Error('it could not be written')
      })
      await assert.rejects(until(rig, failing), /could not be written/)
      await rig.pass(300)
      assert.equal(rig.isAlive(known[0]!), false)
    },
  )
}

/** What an agent goes through, in words that both have a deed for. */
export const trials = {
  'answers and ends': 'passed',
  'ends without a last word': 'unreadable',
  crashes: 'crashed',
  'is told 429 for good': 'rate-limited',
  'is told 500 for good': 'unreachable',
  'is told 401': 'refused',
} as const satisfies Record<string, AgentEnd['outcome']>
export type Trial = keyof typeof trials

/** Holds an agent to what its adapter makes of it. */
export function agentConforms(law: Law, go: (trial: Trial) => Promise<AgentEnd>): void {
  for (const trial of Object.keys(trials) as Trial[])
    law(`an agent that ${trial}: ${trials[trial]}`, async () => {
      const end = await go(trial)
      assert.deepEqual([end.outcome, end.session], [trials[trial], 's-1'])
      if (trial === 'answers and ends') assert.ok(end.tokens.input > 0 && end.text !== '')
    })
}
