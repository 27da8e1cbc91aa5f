/**
 * Implement: an agent works in a private clone; what it leaves is committed and bundled *inside* the sandbox, taken in strictly checked, and only
 * then is there a candidate. What the agent claims counts for nothing.
 */
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { plural } from '../core/quantity.ts'
import { isRefusal } from '../core/refusal.ts'
import { goesOnFrom } from '../core/task.ts'
import { contain } from './contain.ts'
import { askAgent, type Asked } from './ask.ts'
import { bullets, prompt } from './prompt.ts'
import { tellPath } from './task-path.ts'
import { without, withProduct, type Stage, type StagePorts, type Work } from './stage.ts'

/** Committing and bundling is git alone, which may have to look at 100,000 files on a busy machine; a hostile configuration must not hang us. */
const handOffMs = 300_000

export const implement: Stage = async (ports, work) => {
  const { task, repo } = work
  const startFrom = goesOnFrom(task, work.attempt.family) ?? { commit: repo.tip, base: repo.tip }
  const asked = prompt('implement', {
    title: task.title,
    kind: task.kind,
    size: task.size,
    round: String(task.returns + 1),
    path: tellPath(work),
    text: task.text,
    acceptance: bullets([...task.acceptance, ...(task.plan?.acceptance ?? [])], 'none given'),
    plan: task.plan
      ? `${task.plan.approach}\n\nFiles: ${task.plan.files.join(', ') || 'not named'}`
      : 'none: the task is small',
    gates: bullets(
      work.repository.gates
        .filter(({ baseline }) => baseline !== 'off')
        .map(({ name, command }) => `${name}: ${command}`),
      'none are configured',
    ),
    feedback: task.feedback ? `From ${task.feedback.from}:\n\n${task.feedback.text}` : 'none: this is the first',
  })
  return askAgent(
    ports,
    work,
    { role: 'implementer', prompt: asked, tree: { edit: startFrom.commit } },
    async (driven) => {
      const left = await handOff(ports, work, driven, startFrom.base)
      if (left !== null) return without('failed', left, driven.facts)
      const bundle = join(driven.area.out, 'task.bundle')
      const unchanged = () =>
        without('no-change', driven.end.text.trim() || 'the agent changed nothing and gave no reason', driven.facts)
      if (await isMissing(bundle)) return unchanged()
      const candidate = await ports.git.intake(repo.stores, bundle, startFrom.base, `${task.id}/${work.attempt.token}`)
      if (isRefusal(candidate))
        return candidate.refused === 'no-change'
          ? unchanged()
          : without('failed', candidate.why, { ...driven.facts, feedback: `Your work was refused: ${candidate.why}` })
      // Told what is wrong with it and handed in as it was: the same tests and reviews would say the same again.
      if (candidate.tree === task.candidate?.tree && !task.rebase) return unchanged()
      const { commit, tree, base, changes, added, removed } = candidate
      const files = changes.map(({ path }) => path)
      const product = {
        step: 'implement' as const,
        candidate: {
          commit,
          tree,
          base,
          family: work.attempt.family!,
          model: work.attempt.model!,
          files,
          added,
          removed,
          message: driven.end.text,
        },
      }
      return withProduct(product, `${plural(files.length, 'file')}, +${added} −${removed}`, driven.facts)
    },
  )
}

/** Nothing at all was left: what the hand-off does where there is nothing beyond the base. Anything else is looked at by the intake. */
const isMissing = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  )

/** Commits what is in the tree and bundles it, inside a second container without key and network. Null, or why it failed. */
async function handOff(ports: StagePorts, work: Work, { area, mounts }: Asked, base: string): Promise<string | null> {
  const view = ports.sandbox.view(area, null)
  const script = [
    'set -e',
    'git add --all',
    'git diff --cached --quiet HEAD || git -c commit.gpgsign=false commit --quiet --no-verify --message "Task"',
    // A bundle may not be empty: nothing beyond the base is `no-change`, which the missing file says.
    'test "$(git rev-parse HEAD)" = "$BASE" || git bundle create --quiet "$OUT/task.bundle" HEAD "^$BASE"',
  ].join('\n')
  const env = {
    HOME: view.home,
    TMPDIR: view.tmp,
    OUT: view.out,
    BASE: base,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
  }
  const ran = await contain(
    ports,
    work,
    {
      area,
      argv: ['/bin/sh', '-c', script],
      env,
      stdin: null,
      mounts,
      gateway: null,
      toolchain: work.toolchain,
    },
    handOffMs,
  )
  if (work.signal.aborted) return 'stopped while handing off'
  return ran.code === 0 ? null : `the work could not be bundled (exit ${ran.code ?? ran.signal}): ${ran.tail}`
}
