/**
 * Verify: the gates on the merge of the candidate into the target, in a fresh checkout. What the agent says about its tests counts for nothing.
 * For a `review` task it also takes in the ref that is to be judged.
 */
import type { GateReport } from '../core/gate.ts'
import type { Candidate } from '../core/task.ts'
import { plural } from '../core/quantity.ts'
import { isRefusal } from '../core/refusal.ts'
import { outsideOf } from '../core/task-path.ts'
import { protectedAmong } from '../core/protection.ts'
import { executeGates } from './gates.ts'
import { pathOf } from './task-path.ts'
import { stoppedAs, without, withProduct, type Stage } from './stage.ts'

export const verify: Stage = async (ports, work) => {
  const subject = work.task.kind === 'review' ? await subjectOf(ports, work) : null
  if (subject && 'outcome' in subject) return subject
  const candidate = subject ?? work.task.candidate
  if (!candidate) throw new Error('verify without a candidate')
  const { stores, tip } = work.repo
  const merged =
    work.task.kind === 'review' ? { tree: candidate.tree } : await ports.git.mergeTree(stores, tip, candidate.commit)
  if (isRefusal(merged))
    return without('failed', merged.why, {
      feedback: `Your work conflicts with the target branch, which has moved: ${merged.why}. Do the task again on the present files.`,
      rebase: true,
    })
  const done = await executeGates(ports, work, merged.tree, tip)
  if (work.signal.aborted) return without(stoppedAs(work.signal), 'stopped while verifying')
  if ('failed' in done) return without('failed', done.failed, { feedback: done.failed })
  const red = done.report.results.filter(({ state }) => state !== 'green').map(({ name }) => name)
  const leftOut = done.report.notConcerned ?? []
  const protectedPaths = protectedAmong(candidate.files, work.repository.protectedPaths)
  const asks = [...asksOutside(pathOf(work), candidate.files), ...asksUntested(done.report)]
  const product = {
    step: 'verify' as const,
    report: done.report,
    protectedPaths,
    asks,
    ...(subject ? { subject } : {}),
  }
  return withProduct(
    product,
    `${red.length === 0 ? `${plural(done.report.results.length, 'gate')} green` : `executed, and red: ${red.join(', ')}`}${leftOut.length === 0 ? '' : `; not concerned: ${leftOut.join(', ')}`}`,
    { reports: done.made },
  )
}

/** Work outside of the task's path is no finding: it may be right. A person sees it before it lands. */
function asksOutside(path: string, files: readonly string[]): string[] {
  const outside = outsideOf(path, files)
  const more = outside.length > 5 ? ` and ${outside.length - 5} more` : ''
  return outside.length === 0 ? [] : [`changed outside of ${path} (${outside.slice(0, 5).join(', ')}${more})`]
}

/** Where every gate is for something else nothing has tested the change, though the repository has gates. */
const asksUntested = ({ results, notConcerned = [] }: GateReport): string[] =>
  results.length === 0 && notConcerned.length > 0 ? ['no gate is concerned by this change'] : []

async function subjectOf(
  ports: Parameters<Stage>[0],
  work: Parameters<Stage>[1],
): Promise<Omit<Candidate, 'attempt'> | ReturnType<typeof without>> {
  const { git } = ports
  const found = await git.fetchRef(work.repo.stores, work.task.ref ?? work.repo.target, work.repo.base)
  if (isRefusal(found)) return without('refused', found.why)
  const { commit, tree, base, changes, added, removed } = found
  return {
    commit,
    tree,
    base,
    family: 'nobody',
    model: 'unknown',
    files: changes.map(({ path }) => path),
    added,
    removed,
    message: '',
  }
}
