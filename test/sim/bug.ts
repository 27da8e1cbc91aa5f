/**
 * Hand-made bugs: what the simulation must find, or it proves nothing. Each is put where the daemon meets its ports, so that the shipped code is the one
 * that suffers from it; `npm run torture -- --bugs` tells stories with each until it is found, and fails where one is not.
 *
 * Bugs inside the shipped code are hand-written mutants of their own (README.md names those worth having).
 */
import type { Engine } from '../../src/engine/engine.ts'
import type { Git } from '../../src/git/git.ts'
import type { Database, Tx } from '../../src/store/database.ts'

export const bugs = {
  'no-fence': 'whoever lost its lease may go on writing',
  'released-before-death': 'a lease is given back while the process of its attempt lives',
  'acknowledged-before-commit': 'a caller is answered when its part is done, not when it is on disk',
  'landing-forgotten': 'after a crash nobody looks whether the branch was moved',
  'pause-ignored': 'what is paused starts all the same',
  'other-tree-tested': 'gates are executed on the candidate, not on its merge with the target',
  'limit-ignored': 'accounts are full, and nobody looks',
  'answers-forgotten': 'nobody remembers which commands were carried out',
} as const
export type Bug = keyof typeof bugs

export const isBug = (name: string): name is Bug => Object.hasOwn(bugs, name)

/** An engine whose fence lets everybody through: whoever lost its lease writes its task down as it was when it claimed it, and goes on from there. */
export function unfenced(engine: Engine, database: Database): Engine {
  const claimed = new Map<string, Record<'state' | 'step' | 'doc', string>>()
  return {
    ...engine,
    work: (carry) =>
      engine.work(async (carried) => {
        const row = await database.read((reader) =>
          reader.get<Record<'state' | 'step' | 'doc', string>>('select state, step, doc from task where id = :task', {
            task: carried.task,
          }),
        )
        if (row) claimed.set(carried.attempt, row)
        return carry(carried)
      }),
    holds: async () => true,
    async finish(tx, lease) {
      const row = claimed.get(lease.attempt)
      if (!(await engine.finish(tx, lease)) && row)
        await tx.run('update task set state = :state, step = :step, doc = :doc where id = :task', {
          ...row,
          task: lease.task,
        })
      return true
    },
  }
}

/** A git that never finds a landing again. */
export const forgetful = (git: Git): Git => ({ ...git, isAncestor: async () => false })

/** A git whose checkouts are one commit behind: of a merge they have what was merged. */
export function careless(git: Git): Git {
  const merged = new Map<string, string>()
  return {
    ...git,
    async mergeTree(stores, ours, theirs) {
      const answer = await git.mergeTree(stores, ours, theirs)
      if ('tree' in answer) merged.set(answer.tree, theirs)
      return answer
    },
    checkout: (stores, treeish, dir) => git.checkout(stores, merged.get(treeish) ?? treeish, dir),
  }
}

/** A store that shows no pauses. */
export const blindToPauses = (tx: Tx): Tx => ({
  ...tx,
  all: async (sql, params) => (/from pause\b/.test(sql) ? [] : tx.all(sql, params)),
})

/** A store that keeps no answers of commands. */
export const blindToAnswers = (tx: Tx): Tx => ({
  ...tx,
  get: async (sql, params) => (/from command\b/.test(sql) ? undefined : tx.get(sql, params)),
  run: async (sql, params) => (/into command\b/.test(sql) ? { changes: 0, rowId: 0 } : tx.run(sql, params)),
})

/** A store that shows no limits. */
export const blindToLimits = (tx: Tx): Tx => ({
  ...tx,
  get: async <T>(sql: string, params?: Parameters<Tx['get']>[1]) => {
    const row = await tx.get<T>(sql, params)
    return row && /from account\b/.test(sql) && 'limit' in (row as object) ? { ...row, limit: null } : row
  },
  all: async <T>(sql: string, params?: Parameters<Tx['all']>[1]) => {
    const rows = await tx.all<T>(sql, params)
    return /as "limit"[^]*from account\b/.test(sql) ? rows.map((row) => ({ ...row, limit: null })) : rows
  },
})
