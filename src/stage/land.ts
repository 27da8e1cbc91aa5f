/**
 * Land: the tree that will land is tested, then a commit of exactly that tree is made in our own store. Nothing of the user's moves here: the
 * lander (daemon) writes its intent first and then moves one ref by compare-and-set.
 */
import { blockers, gateFeedback } from '../core/gate.ts'
import { isRefusal } from '../core/refusal.ts'
import { landingMessage } from '../core/trailer.ts'
import { executeGates } from './gates.ts'
import { stoppedAs, without, type Stage } from './stage.ts'

export const land: Stage = async (ports, work) => {
  const { task, repo } = work
  const { candidate, approval, round } = task
  if (!candidate || !approval || !round || approval.commit !== candidate.commit || round.commit !== candidate.commit)
    throw new Error('land without an approval of the very commit')
  const merged = await ports.git.mergeTree(repo.stores, repo.tip, candidate.commit)
  if (isRefusal(merged))
    return without('failed', merged.why, {
      feedback: `Your approved work conflicts with what has landed since: ${merged.why}. Do it again on the present files.`,
      rebase: true,
    })
  const done = await executeGates(ports, work, merged.tree, repo.tip)
  if (work.signal.aborted) return without(stoppedAs(work.signal), 'stopped while testing the landing tree')
  if ('failed' in done) return without('failed', done.failed, { feedback: done.failed })
  const blocking = blockers(work.repository.gates, done.report)
  if (blocking.length > 0)
    return without('failed', `red on the landing tree: ${blocking.join(', ')}`, {
      feedback: `Green alone, red together with what has landed since.\n\n${gateFeedback(work.repository.gates, done.report)}`,
      rebase: true,
      reports: done.made,
    })
  const message = landingMessage(task, { tree: merged.tree, gates: done.report }, await work.anchor())
  const at = ports.world.clock.now()
  const commit = await ports.git.commitTree(repo.stores, { tree: merged.tree, parent: repo.tip, message, at })
  return without('passed', done.report.reused ? 'landing tree already tested' : 'landing tree tested', {
    reports: done.made,
    landing: { commit, tree: merged.tree, parent: repo.targetTip },
  })
}
