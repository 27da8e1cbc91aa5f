/**
 * The user's repository, read by ref and object id only. Its configuration, hooks and filters are never executed, its work tree never touched.
 * Works for a work tree, a linked worktree, a bare repository and a detached HEAD alike, whoever owns the folder.
 */
import { type Refusal, refuse } from '../core/refusal.ts'
import type { Command } from './command.ts'
import type { Sha } from './git.ts'
import type { Place } from './store.ts'

export type Source = {
  /** The repository's own git directory, shared by all its worktrees. */
  gitDir: string
  /** `sha1` or `sha256`. */
  format: string
}

/** Finds the git directory. Refuses `not-a-repository` and `shallow` (a base without its history cannot be judged or merged). */
export async function openSource(command: Command, folder: string): Promise<Source | Refusal> {
  const args = [
    'rev-parse',
    '--path-format=absolute',
    '--git-common-dir',
    '--is-shallow-repository',
    '--show-object-format',
  ]
  const answer = await command.answer({ folder, args, accept: [0, 128] })
  if (answer.code !== 0) {
    const why = answer.stderr.split('\n').at(-1) ?? ''
    return refuse('not-a-repository', `${folder} is not a git repository (${why})`, `git init, or name another folder`)
  }
  const lines = answer.stdout.toString('utf8').split('\n').slice(0, -1)
  const format = lines.pop() ?? 'sha1'
  const shallow = lines.pop()
  if (shallow === 'true') return refuse('shallow', `${folder} is a shallow clone`, 'git fetch --unshallow')
  return { gitDir: lines.join('\n'), format }
}

/** The commit a branch stands on, or null. The whole ref name is asked for, so a tag of the same name is no answer. */
export async function readBranch(command: Command, gitDir: string, branch: string): Promise<Sha | null> {
  return (await readRefs(command, gitDir, [`refs/heads/${branch}`]))[0] ?? null
}

/** The objects that full ref names point to, in order; null where there is none. */
export async function readRefs(command: Command, gitDir: string, refs: readonly string[]): Promise<(Sha | null)[]> {
  const args = ['for-each-ref', '--format=%(refname) %(objectname)', ...refs]
  const lines = (await command.text({ gitDir, args })).split('\n')
  return refs.map((ref) => lines.find((line) => line.startsWith(`${ref} `))?.slice(ref.length + 1) ?? null)
}

/** Which of `ids` are objects that this git directory (and what it borrows) has. */
export async function filterKnown(command: Command, place: Place, ids: readonly Sha[]): Promise<Sha[]> {
  if (ids.length === 0) return []
  const args = ['cat-file', '--batch-check=%(objectname) %(objecttype)']
  const printed = await command.text({ ...place, args, stdin: ids.map((id) => `${id}\n`).join('') })
  return printed.split('\n').flatMap((line) => (line.endsWith(' missing') ? [] : [line.split(' ')[0]!]))
}
